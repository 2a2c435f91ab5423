"""What owners want reaches the worker's heart, whether or not a nudge tells it."""

import time

import pytest
from django.conf import LazySettings

from aigc_platform.jobs.models import Job
from tests.factories.jobs import claim_new
from workers import heart as heart_module
from workers.heart import Heart


@pytest.mark.django_db(transaction=True)
def test_a_wish_without_a_nudge_is_seen_long_before_the_next_beat(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_SECONDS = 600
    settings.LEASE_SECONDS = 3600
    monkeypatch.setattr(heart_module, "_LOOK_SECONDS", 0.5)
    claim = claim_new()
    heart = Heart(lambda: claim.worker)
    pulse = heart.hold(claim)
    heart.start()
    try:
        assert heart.worker(30) is not None
        # As `request_cancel` does it, but its NOTIFY is lost.
        Job.objects.filter(pk=claim.job.pk).update(status="canceling", desired="cancel")
        deadline = time.monotonic() + 60
        while pulse.desired != "cancel" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pulse.desired == "cancel"
    finally:
        heart.stop()
