"""`manage.py scrub`: re-hash every stored object and report the differences."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aigc_platform.jobs.scrubbing import differences
from aigc_platform.storage.object_store import get_object_store


class Command(BaseCommand):
    help = "Fetch every stored object and compare its SHA-256 with its row; fails if any differs."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 — Django's signature
        found = 0
        for difference in differences(get_object_store()):
            found += 1
            self.stdout.write(f"{difference.row}: {difference.key}: {difference.problem}")
        if found:
            raise CommandError(f"{found} stored objects are not what their rows say.")
        self.stdout.write("Every stored object is what its row says.")
