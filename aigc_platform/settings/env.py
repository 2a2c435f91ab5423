"""The environment variables of the platform, typed and described; the only reader of `os.environ`.

`Env` is the list: its field names in capitals are the variables, its descriptions are the documentation, and
a test compares the Compose file with it. Nothing else in the platform looks at the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg.conninfo
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

REPOSITORY_DIR = Path(__file__).resolve().parents[2]

STACK_FILE_NAME = "stack.env"


class Env(BaseModel):
    """Everything the platform takes from its environment, validated once at start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret_key: SecretStr = Field(
        min_length=32,
        description="Key that signs sessions and cursors: 32 random characters or more, everywhere the same.",
    )
    database_url: SecretStr = Field(
        description="PostgreSQL as a libpq address: postgresql://user:password@host:5432/name, or by unix "
        "socket postgresql://user@/name?host=/folder/of/the/socket."
    )
    broker_url: SecretStr = Field(
        description="Redis or Valkey that carries the doorbells: redis://:password@host:6379/0, or "
        "redis+socket:///path/to/socket. It may lose everything at any moment."
    )
    s3_endpoint_url: str = Field(description="S3-compatible store as the platform's own processes reach it.")
    s3_public_endpoint_url: str = Field(
        default="",
        description="The same store as clients reach it, for presigned links; empty means S3_ENDPOINT_URL.",
    )
    s3_access_key_id: str = Field(min_length=1, description="Access key of the store.")
    s3_secret_access_key: SecretStr = Field(min_length=1, description="Secret key of the store.")
    s3_bucket: str = Field(
        default="aigc",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="Bucket that holds every file of the platform; it must exist and be private.",
    )
    s3_region: str = Field(default="us-east-1", description="Region written into signatures.")
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        description="Where people reach the API and the admin; https turns on secure cookies and HSTS.",
    )
    events_url: str = Field(
        default="",
        description="Address of the event-stream process; empty means PUBLIC_URL serves everything.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names to answer to, comma separated, besides the one in PUBLIC_URL and loopback.",
    )
    behind_tls_proxy: bool = Field(
        default=False,
        description="True if every request comes through a proxy that ends TLS and sets X-Forwarded-Proto.",
    )
    data_dir: Path = Field(
        default=REPOSITORY_DIR / "var",
        description="Folder for everything written locally: static files, scratch, logs.",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port of the API in the standalone stack; if not set, 8000 or else any free one.",
    )
    fashion_mnist_dir: Path = Field(
        default=Path("/usr/share/datasets/fashion-mnist"),
        description="Folder with the four gzip files of Fashion-MNIST, for the built-in data set.",
    )
    workers_per_host: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Workers that share this machine; each takes its part of the cores.",
    )
    worker_device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="What a worker computes on: gpu refuses to start without a free one, cpu leaves GPUs alone, auto "
        "takes a free GPU if the machine has any.",
    )
    worker_device_count: int = Field(
        default=1,
        ge=1,
        le=16,
        description="How many GPUs a worker takes, all for one training at a time; on the processor, how many "
        "processes share a training out. Other kinds of job use the first.",
    )
    mlflow_tracking_uri: SecretStr = Field(
        default=SecretStr(""),
        description="MLflow server that a worker's trainings send their figures to, http://host:5000 for example; it "
        "needs the extra mlflow. Empty means none.",
    )
    lease_seconds: int = Field(
        default=60, ge=5, le=3600, description="How long a worker's claim on a job lasts without a heartbeat."
    )
    heartbeat_seconds: float = Field(
        default=10,
        ge=0.5,
        le=600,
        description="How often a worker renews its claim; at most a third of LEASE_SECONDS.",
    )
    reaper_interval_seconds: float = Field(
        default=5,
        ge=0.2,
        le=300,
        description="How often the engine looks for expired claims and undelivered rings.",
    )
    checkpoint_seconds: float = Field(
        default=120,
        ge=1,
        le=86_400,
        description="How much training a dead worker may cost at most, in seconds.",
    )
    database_answer_seconds: float = Field(
        default=15,
        ge=1,
        le=600,
        description="How long the API, the engine and workers wait for PostgreSQL's answer before they treat it as "
        "away.",
    )
    recovery_delay_seconds: float = Field(
        default=10,
        ge=0,
        le=600,
        description="Pause before a job's third run after failures; it doubles with each further one, up to "
        "10 minutes.",
    )
    stall_seconds: float = Field(
        default=600,
        ge=1,
        le=86_400,
        description="How long a runner may be silent before it is taken for stuck and ended.",
    )
    queue_max_jobs: int = Field(
        default=100_000,
        ge=1,
        description="Jobs that may wait in one queue; submissions beyond are answered 503 for a while.",
    )
    upload_max_bytes: int = Field(
        default=2 * 1024**3,
        ge=1024,
        description="Largest archive that may be uploaded as a data set, in bytes.",
    )
    json_body_max_bytes: int = Field(
        default=1024**2, ge=1024, description="Largest JSON body that the API reads, in bytes."
    )
    generation_max_count: int = Field(
        default=10_000, ge=1, description="Largest number of outputs one generation may ask for."
    )
    webhook_allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts (host or host:port, comma separated) that webhooks may reach by plain http and at private "
        "addresses; all others need https and a public address.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least important level that is logged: DEBUG, INFO, WARNING or ERROR."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line for machines, or readable lines for people."
    )

    @field_validator("allowed_hosts", "webhook_allowed_hosts", mode="before")
    @classmethod
    def _split_on_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("data_dir", "fashion_mnist_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url", "public_url", "events_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://host:port")
        return value.rstrip("/")

    @field_validator("broker_url")
    @classmethod
    def _broker_address(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "redis+socket"}:
            raise ValueError("must start with redis://, rediss:// or redis+socket://")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: SecretStr) -> SecretStr:
        database_settings(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _several_beats_fit_one_lease(self) -> "Env":
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError(
                f"HEARTBEAT_SECONDS={self.heartbeat_seconds:g} must be at most a third of "
                f"LEASE_SECONDS={self.lease_seconds}, or one lost beat costs the job"
            )
        return self

    @property
    def is_https(self) -> bool:
        return urlsplit(self.public_url).scheme == "https"

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_url).hostname or ""


def database_settings(url: str) -> dict[str, object]:
    """Return Django's connection fields for a libpq address.

    Raises:
        ValueError: the address is not PostgreSQL's or names no database.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    try:
        parameters = psycopg.conninfo.conninfo_to_dict(url)
    except ProgrammingError as error:
        raise ValueError(f"is not a PostgreSQL address ({str(error).strip()})") from None
    name = parameters.pop("dbname", None)
    if not name:
        raise ValueError("must name a database after the last slash")
    fields: dict[str, object] = {
        "ENGINE": "aigc_platform.common.postgresql",
        "NAME": name,
        "USER": parameters.pop("user", None) or "",
        "PASSWORD": parameters.pop("password", None) or "",
        "HOST": parameters.pop("host", None) or "",
        "PORT": str(parameters.pop("port", None) or ""),
    }
    # A frozen or unreachable server must fail a request, never hang it.
    fields["OPTIONS"] = {"connect_timeout": 5, **parameters}
    return fields


def variable_names() -> tuple[str, ...]:
    """Return every environment variable that the platform reads, in the order of `Env`."""
    return tuple(name.upper() for name in Env.model_fields)


def set_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the platform's variables that are set and not empty, as they stand in the environment."""
    source = os.environ if environ is None else environ
    return {name: source[name] for name in variable_names() if source.get(name)}


def load_env(environ: Mapping[str, str] | None = None) -> Env:
    """Read and validate the process environment, or the mapping given instead.

    Raises:
        ImproperlyConfigured: variables are missing or malformed; a sentence for each says which and why.
    """
    try:
        return Env.model_validate({name.lower(): value for name, value in set_variables(environ).items()})
    except ValidationError as error:
        raise ImproperlyConfigured("\n".join(_sentences(error))) from None


def provide(defaults: Mapping[str, str]) -> None:
    """Set the variables that are not set yet, for this process and its children."""
    for name, value in defaults.items():
        if not os.environ.get(name):
            os.environ[name] = value


def load_stack_file(data_dir: Path | None = None) -> dict[str, str]:
    """Return the variables that a standalone stack left for commands started beside it, or nothing."""
    folder = data_dir or Path(os.environ.get("DATA_DIR") or REPOSITORY_DIR / "var")
    try:
        lines = (folder / STACK_FILE_NAME).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class StandaloneOptions(BaseModel):
    """The two variables that matter before the stack exists."""

    port: int | None = Field(default=None, ge=1, le=65_535)
    data_dir: Path = REPOSITORY_DIR / "var"


def standalone_options() -> StandaloneOptions:
    """Read PORT and DATA_DIR alone: everything else the stack makes itself.

    Raises:
        ImproperlyConfigured: one of them is malformed.
    """
    given = {name.lower(): value for name, value in set_variables().items() if name in {"PORT", "DATA_DIR"}}
    try:
        return StandaloneOptions.model_validate(given)
    except ValidationError as error:
        raise ImproperlyConfigured("\n".join(_sentences(error))) from None


def process_environment() -> dict[str, str]:
    """Return a copy of this process's whole environment, to hand on to a child process."""
    return dict(os.environ)


def use_settings(module: str) -> None:
    """Choose the settings module for this process unless its environment already names one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", module)


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for item in error.errors(include_url=False, include_input=False):
        name = str(item["loc"][0]).upper() if item["loc"] else ""
        if item["type"] == "missing":
            meaning = Env.model_fields[name.lower()].description
            sentences.append(f"{name} is not set: {meaning}")
            continue
        reason = item["msg"].removeprefix("Value error, ").rstrip(".")
        sentences.append(f"{name}: {reason}." if name else f"{reason}.")
    return sentences
