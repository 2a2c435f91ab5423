"""What the stack on one machine consists of: which programs, with which settings, below which folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aigc_platform.settings.env import STACK_FILE_NAME, load_env, process_environment, set_variables
from aigc_platform.standalone.embedded.postgres import Postgres
from aigc_platform.standalone.embedded.seaweedfs import PORT_COUNT, SeaweedFS
from aigc_platform.standalone.embedded.valkey import Valkey
from aigc_platform.standalone.ports import LOOPBACK, api_port, remembered_ports
from aigc_platform.standalone.private_files import stack_secrets, write_private
from aigc_platform.standalone.processes import ProcessSpec
from aigc_platform.standalone.programs import api, engine, gpu_count, setup, worker_count, workers

PREFERRED_PORT = 8000
SETTINGS_MODULE = "aigc_platform.settings.production"


@dataclass(frozen=True)
class Stack:
    """Everything needed to start the stack of one folder.

    Attributes:
        folder: its data.
        port: of the API.
        servers: embedded servers, in the order of starting.
        setup: runs once when the servers serve: database, migrations, first user.
        programs: the platform's own processes, in the order of starting.
        variables: the platform's environment variables.
    """

    folder: Path
    port: int
    servers: tuple[ProcessSpec, ...]
    setup: ProcessSpec
    programs: tuple[ProcessSpec, ...]
    variables: Mapping[str, str]

    @property
    def api_url(self) -> str:
        """Where this machine reaches the API, whatever PUBLIC_URL says to others."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def credentials_path(self) -> Path:
        return self.folder / "credentials.json"

    def write_stack_file(self) -> None:
        """Leave the variables for commands that are started by hand beside the stack."""
        lines = [f"{name}={value}" for name, value in self.variables.items()]
        write_private(self.folder / STACK_FILE_NAME, "\n".join(lines) + "\n")


def build_stack(folder: Path, *, sockets: Path, asked_port: int | None) -> Stack:
    """Prepare the folder and decide what to start: each of DATABASE_URL, BROKER_URL and S3_ENDPOINT_URL that is set
    replaces its embedded server.

    Args:
        folder: holds the stack's data; the caller has its lock.
        sockets: short folder for unix sockets, deleted by the caller at the end.
        asked_port: port of the API if somebody asked for one.

    Raises:
        StandaloneError: something is in the way.
        ImproperlyConfigured: a variable in the environment is wrong.
    """
    given = set_variables()
    secrets = stack_secrets(folder / "secrets.json")
    gpus = gpu_count()
    port = api_port(asked_for=asked_port, preferred=PREFERRED_PORT)
    own_url = f"http://{LOOPBACK}:{port}"
    variables = {
        "SECRET_KEY": secrets["secret_key"],
        "PUBLIC_URL": own_url,
        "LOG_FORMAT": "console",
        **given,
        "PORT": str(port),
        "DATA_DIR": str(folder),
    }
    servers = _add_embedded_servers(variables, folder, sockets, secrets)
    each = load_env(variables).worker_device_count
    variables.setdefault("WORKERS_PER_HOST", str(worker_count(gpus, each)))
    environment = {
        **process_environment(),
        **variables,
        "DJANGO_SETTINGS_MODULE": SETTINGS_MODULE,
        # Lines appear when they are printed, not when a buffer is full.
        "PYTHONUNBUFFERED": "1",
    }
    return Stack(
        folder=folder,
        port=port,
        servers=servers,
        setup=setup(environment),
        programs=(
            engine(environment),
            *workers(environment, gpus=gpus, each=each),
            api(environment, port=port),
        ),
        variables=variables,
    )


def _add_embedded_servers(
    variables: dict[str, str], folder: Path, sockets: Path, secrets: Mapping[str, str]
) -> tuple[ProcessSpec, ...]:
    ports = remembered_ports(folder / "ports.json", {"valkey": 1, "seaweedfs": PORT_COUNT})
    logs = folder / "logs"
    servers = []
    if "DATABASE_URL" not in variables:
        postgres = Postgres(folder=folder / "postgres", socket_folder=sockets, log_path=logs / "postgres.log")
        postgres.prepare()
        variables["DATABASE_URL"] = postgres.url
        servers.append(postgres.spec())
    if "S3_ENDPOINT_URL" not in variables:
        seaweedfs = SeaweedFS(
            folder=folder / "seaweedfs",
            socket_folder=sockets,
            ports=ports["seaweedfs"],
            access_key_id=secrets["s3_access_key_id"],
            secret_access_key=secrets["s3_secret_access_key"],
            bucket=variables.setdefault("S3_BUCKET", "aigc"),
            log_path=logs / "seaweedfs.log",
        )
        seaweedfs.prepare()
        variables["S3_ENDPOINT_URL"] = seaweedfs.url
        variables["S3_ACCESS_KEY_ID"] = seaweedfs.access_key_id
        variables["S3_SECRET_ACCESS_KEY"] = seaweedfs.secret_access_key
        servers.append(seaweedfs.spec())
    if "BROKER_URL" not in variables:
        valkey = Valkey(
            folder=folder / "valkey",
            port=ports["valkey"][0],
            password=secrets["broker_password"],
            log_path=logs / "valkey.log",
        )
        valkey.prepare()
        variables["BROKER_URL"] = valkey.url
        servers.append(valkey.spec())
    return tuple(servers)
