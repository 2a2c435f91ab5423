"""The environment's variables: defaults, types, and errors that a person can act on."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from aigc_platform.settings.env import Env, database_settings, load_env, load_stack_file, variable_names

REQUIRED = {
    "SECRET_KEY": "k" * 40,
    "DATABASE_URL": "postgresql://aigc:pa%40ss@db.example:5433/aigc?sslmode=require",
    "BROKER_URL": "redis://:secret@cache.example:6379/0",
    "S3_ENDPOINT_URL": "https://s3.example/",
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": "secret",
}


def test_only_secrets_and_addresses_are_required() -> None:
    env = load_env(REQUIRED)
    assert env.s3_bucket == "aigc"
    assert env.s3_endpoint_url == "https://s3.example"
    assert (env.lease_seconds, env.heartbeat_seconds, env.generation_max_count) == (60, 10, 10_000)
    assert env.allowed_hosts == ()


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_missing_variable_is_named_and_explained(name: str) -> None:
    values = {**REQUIRED, name: ""}
    with pytest.raises(ImproperlyConfigured) as caught:
        load_env(values)
    description = Env.model_fields[name.lower()].description
    assert str(caught.value) == f"{name} is not set: {description}"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SECRET_KEY", "short", "SECRET_KEY: Value should have at least 32 items"),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL: must start with postgresql://."),
        ("DATABASE_URL", "postgresql://host", "DATABASE_URL: must name a database after the last slash."),
        ("DATABASE_URL", "postgresql://h/db?nonsense=1", "DATABASE_URL: is not a PostgreSQL address"),
        ("BROKER_URL", "amqp://host", "BROKER_URL: must start with redis://"),
        ("S3_ENDPOINT_URL", "s3.example", "S3_ENDPOINT_URL: must be an address such as https://host:port."),
        ("S3_BUCKET", "No_Capitals", "S3_BUCKET: String should match pattern"),
        ("PUBLIC_URL", "ftp://x", "PUBLIC_URL: must be an address such as https://host:port."),
        ("LEASE_SECONDS", "soon", "LEASE_SECONDS: Input should be a valid integer"),
        ("LEASE_SECONDS", "12", "must be at most a third of LEASE_SECONDS=12"),
        ("PORT", "70000", "PORT: Input should be less than or equal to 65535"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: Input should be 'DEBUG'"),
    ],
)
def test_a_malformed_variable_is_named_with_the_reason(name: str, value: str, complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load_env({**REQUIRED, name: value})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_variable_is_reported_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load_env({**REQUIRED, "SECRET_KEY": "", "LEASE_SECONDS": "x", "PORT": "0"})
    assert all(name in str(caught.value) for name in ("SECRET_KEY", "LEASE_SECONDS", "PORT"))


def test_errors_do_not_repeat_secrets() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load_env({**REQUIRED, "BROKER_URL": "amqp://:hunter2@host", "SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "pa%40ss" not in repr(load_env(REQUIRED))


def test_a_database_address_becomes_django_settings() -> None:
    assert database_settings(REQUIRED["DATABASE_URL"]) == {
        "ENGINE": "aigc_platform.common.postgresql",
        "NAME": "aigc",
        "USER": "aigc",
        "PASSWORD": "pa@ss",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"connect_timeout": 5, "sslmode": "require"},
    }


@pytest.mark.parametrize(
    "url", ["postgresql://aigc@/aigc?host=/run/sockets", "postgresql://aigc@%2Frun%2Fsockets/aigc"]
)
def test_a_database_address_may_be_a_unix_socket(url: str) -> None:
    fields = database_settings(url)
    assert (fields["HOST"], fields["PORT"], fields["NAME"]) == ("/run/sockets", "", "aigc")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_any_text_as_a_database_address_is_accepted_or_refused_with_a_sentence(text: str) -> None:
    refusals = []
    try:
        fields = database_settings(f"postgresql://{text}")
    except ValueError as error:
        refusals.append(str(error))
        fields = {"NAME": None}
    assert fields["NAME"] or refusals[0].startswith(("must ", "is not "))


def test_hosts_are_split_on_commas() -> None:
    assert load_env({**REQUIRED, "ALLOWED_HOSTS": "a.example, b.example,"}).allowed_hosts == (
        "a.example",
        "b.example",
    )


@pytest.mark.parametrize(
    ("url", "https", "host"),
    [
        ("http://127.0.0.1:8000", False, "127.0.0.1"),
        ("http://[::1]:8000", False, "::1"),
        ("https://AIGC.example/", True, "aigc.example"),
    ],
)
def test_the_public_address_tells_scheme_and_host(url: str, https: bool, host: str) -> None:
    env = load_env({**REQUIRED, "PUBLIC_URL": url})
    assert (env.is_https, env.public_host) == (https, host)


def test_every_variable_is_described() -> None:
    described = [field.description for field in Env.model_fields.values()]
    assert all(text and text.endswith(".") for text in described)
    assert len(variable_names()) == len(described) == len(set(variable_names()))


def test_the_stack_file_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "stack.env").write_text("# left by a running stack\nBROKER_URL=redis://x/0?a=b\nPORT=1\n")
    assert load_stack_file(tmp_path) == {"BROKER_URL": "redis://x/0?a=b", "PORT": "1"}
    assert load_stack_file(tmp_path / "missing") == {}
