from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from aigc_platform.jobs.loops import EngineLoop


class WebhooksConfig(AppConfig):
    name = "aigc_platform.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from aigc_platform.jobs.invariants import register_check
        from aigc_platform.jobs.listeners import on_status_change
        from aigc_platform.jobs.loops import register_loop
        from aigc_platform.webhooks.invariants import untold_ends
        from aigc_platform.webhooks.recording import record_status

        on_status_change(record_status)
        register_check(untold_ends)
        register_loop("webhooks", _make_sender)


def _make_sender() -> "EngineLoop":
    # Only an engine needs what sending needs.
    from aigc_platform.webhooks.sender import Sender

    return Sender()
