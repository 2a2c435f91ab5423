"""`manage.py create_token --user NAME --name LABEL`: print a new API token once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from aigc_platform.accounts.models import User
from aigc_platform.accounts.services import create_token
from aigc_platform.api.scopes import Scope


class Command(BaseCommand):
    help = "Create an API token for a user and print it. It is shown this once and stored only as a hash."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="user name of the owner")
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what it may do; repeat for several (default: *, everything)",
        )
        parser.add_argument("--days", type=float, help="days until it expires (default: never)")

    def handle(self, *_args: Any, **options: Any) -> str:
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user named {options['user']!r}; create it in the admin first.")
        days = options["days"]
        _, secret = create_token(
            user=user,
            name=options["name"],
            scopes=options["scope"] or [Scope.ALL],
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
        )
        return secret
