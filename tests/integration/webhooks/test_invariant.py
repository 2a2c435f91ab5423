"""`check_invariants` finds an end that was never recorded, and blames nobody for what was not owed."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from aigc_platform.accounts.models import User
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import request_cancel
from aigc_platform.webhooks import services
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.factories.jobs import submit
from tests.factories.webhooks import make_endpoint

pytestmark = pytest.mark.django_db


def let_listen_for_an_hour() -> None:
    WebhookEndpoint.objects.update(listening_since=F("listening_since") - timedelta(hours=1))


def ended(owner: User) -> Job:
    return request_cancel(submit(owner).pk, actor="test")


def test_a_recorded_end_is_in_order_whatever_became_of_it(user: User) -> None:
    make_endpoint(user)
    let_listen_for_an_hour()
    ended(user)
    call_command("check_invariants")


@pytest.mark.parametrize("spoil", ["lost", "of another event"])
def test_an_end_that_is_not_recorded_is_found(
    user: User, spoil: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = make_endpoint(user)
    let_listen_for_an_hour()
    job = ended(user)
    if spoil == "lost":
        WebhookDelivery.objects.all().delete()
    else:
        WebhookDelivery.objects.update(payload={"type": "job.succeeded"})
    with pytest.raises(CommandError, match=r"1 violations"):
        call_command("check_invariants")
    found = capsys.readouterr().out
    assert f"I7 {job}" in found
    assert str(endpoint.pk) in found


def test_nothing_is_owed_to_those_who_did_not_listen(user: User, stranger: User) -> None:
    make_endpoint(stranger)
    make_endpoint(user, event_types=["job.succeeded"])
    off = make_endpoint(user)
    services.change_endpoint(endpoint_id=off.pk, enabled=False)
    let_listen_for_an_hour()
    ended(user)
    make_endpoint(user)
    services.change_endpoint(endpoint_id=off.pk, enabled=True)
    assert not WebhookDelivery.objects.exists()
    call_command("check_invariants")
