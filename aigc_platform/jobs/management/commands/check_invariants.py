"""`manage.py check_invariants`: does everything hold that the platform promises about jobs?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aigc_platform.jobs.invariants import violations
from aigc_platform.storage.object_store import get_object_store


class Command(BaseCommand):
    help = "Check every job against the invariants, from events, rows and the bucket; fails on any violation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--settled",
            action="store_true",
            help="also demand that every job has ended and every collected job left nothing behind",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 — Django's signature
        found = 0
        for violation in violations(get_object_store(), settled=options["settled"]):
            found += 1
            self.stdout.write(str(violation))
        if found:
            raise CommandError(f"{found} violations.")
        self.stdout.write("No violation.")
