"""`manage.py prepare_standalone`: what the stack does once at every start, before its programs start."""

from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.services import create_superuser, create_token
from aigc_platform.common.exceptions import PlatformError
from aigc_platform.standalone.private_files import read_private_json, stack_secrets, write_private_json
from aigc_platform.storage.object_store import get_object_store

ADMIN_NAME = "admin"
TOKEN_NAME = "standalone"  # noqa: S105 - a name, not a secret


class Command(BaseCommand):
    help = "Bring database, static files and the first user up to date, and write credentials.json."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        _ensure_database()
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        try:
            get_object_store().ping()
        except PlatformError as error:
            raise CommandError(
                f"The bucket {settings.S3_BUCKET!r} at {settings.S3_ENDPOINT_URL} cannot be used: {error}"
            ) from error
        write_credentials(settings.DATA_DIR)
        self.stdout.write("The database, the bucket and the first user are ready.")


def write_credentials(folder: Path) -> None:
    """Create the admin user and an API token unless they exist, and write how to reach everything (mode 0600)."""
    path = folder / "credentials.json"
    known = read_private_json(path)
    password = known.get("admin_password") or stack_secrets(folder / "secrets.json")["admin_password"]
    user = User.objects.filter(username=ADMIN_NAME).first()
    if user is None:
        user = create_superuser(username=ADMIN_NAME, password=password)
    token = known.get("api_token")
    if not token or not ApiToken.objects.filter(owner=user, name=TOKEN_NAME).exists():
        _, token = create_token(user=user, name=TOKEN_NAME)
    write_private_json(
        path,
        {
            "api_url": f"{settings.PUBLIC_URL}/api/v1",
            "api_token": token,
            "admin_url": f"{settings.PUBLIC_URL}/admin/",
            "admin_username": ADMIN_NAME,
            "admin_password": password,
            "s3_endpoint_url": settings.S3_PUBLIC_ENDPOINT_URL,
        },
    )


def _ensure_database() -> None:
    """Create the database itself if its server knows it not yet (the embedded server at its first start)."""
    fields = settings.DATABASES["default"]
    address = {
        "host": fields["HOST"],
        "port": fields["PORT"],
        "user": fields["USER"],
        "password": fields["PASSWORD"],
    }
    given = {name: value for name, value in address.items() if value}
    try:
        with psycopg.connect(dbname=fields["NAME"], **given):
            return
    except psycopg.OperationalError as error:
        if error.sqlstate not in {None, "3D000"} or "does not exist" not in str(error):
            raise CommandError(f"PostgreSQL cannot be reached: {str(error).strip()}") from error
    with psycopg.connect(dbname="postgres", autocommit=True, **given) as connection:
        name = psycopg.sql.Identifier(fields["NAME"])
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(name))
