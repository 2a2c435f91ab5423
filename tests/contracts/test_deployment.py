"""Django's own deployment checks hold with production settings, and plain http stays usable on loopback."""

import os
import subprocess
import sys

import pytest

from aigc_platform.settings.env import REPOSITORY_DIR, variable_names

BASE = {
    "SECRET_KEY": "vJ8cQ2xN5mT1zR7wB4kD9fH3gL6pS0yE-aUiOqXtWnCrVbMhKj",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "BROKER_URL": "redis://127.0.0.1:1/0",
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "S3_ACCESS_KEY_ID": "none",
    "S3_SECRET_ACCESS_KEY": "none",
    "DJANGO_SETTINGS_MODULE": "aigc_platform.settings.production",
}


def run(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in variable_names()}
    # Set while a browser test drives Playwright, whose event loop Django would mistake for its own.
    inherited.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, **BASE, **variables},
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_deployment_checks_pass_with_https() -> None:
    checked = run(
        ["manage.py", "check", "--deploy", "--fail-level", "WARNING"], {"PUBLIC_URL": "https://aigc.example"}
    )
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://aigc.example", "True"), ("http://127.0.0.1", "False")]
)
def test_the_protections_of_https_follow_the_public_address(public_url: str, secure: str) -> None:
    code = (
        "from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS > 0, "
        "s.DEBUG)"
    )
    shown = run(["-c", code], {"PUBLIC_URL": public_url})
    assert shown.stdout.split() == [secure] * 4 + ["False"], shown.stderr


def test_a_command_without_its_variables_says_which_in_one_line_each() -> None:
    failed = run(["manage.py", "check"], {"SECRET_KEY": "", "LEASE_SECONDS": "soon"})
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "SECRET_KEY is not set" in failed.stderr
    assert "LEASE_SECONDS" in failed.stderr
