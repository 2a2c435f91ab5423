"""`/api/v1/webhook-endpoints`: register, change, rotate, test, look, send again, delete; one's own alone."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db.models.functions import Now
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.webhooks import services
from aigc_platform.webhooks.models import WebhookDelivery, WebhookEndpoint
from aigc_platform.webhooks.retention import delete_old_rows
from tests.factories.jobs import submit
from tests.factories.webhooks import PUBLIC_URL, make_endpoint
from tests.integration.api.answers import body, field_problems, problem

pytestmark = pytest.mark.django_db

COLLECTION = "/api/v1/webhook-endpoints"
ENDS = ["job.succeeded", "job.failed", "job.canceled", "job.expired"]


def create(client: APIClient, **fields: Any) -> dict[str, Any]:
    return body(client.post(COLLECTION, {"url": PUBLIC_URL, **fields}), 201)


def test_a_new_endpoint_shows_its_secret_once_and_listens_to_the_ends_of_jobs(client: APIClient) -> None:
    made = create(client, description="mine")

    assert made["event_types"] == ENDS
    assert (made["enabled"], made["disabled_reason"], made["description"]) == (True, "", "mine")
    scheme, _, key = made["secret"].partition("_")
    assert (scheme, len(base64.b64decode(key))) == ("whsec", 32)
    shown = body(client.get(made["urls"]["self"]), 200)
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    listed = body(client.get(COLLECTION), 200)["results"]
    assert listed == [shown]


def test_the_answer_names_the_new_address(client: APIClient) -> None:
    answer = client.post(COLLECTION, {"url": PUBLIC_URL})
    assert answer.headers["Location"] == answer.json()["urls"]["self"]
    assert answer.json()["urls"]["self"].endswith(f"{COLLECTION}/{answer.json()['id']}")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/in",
        "ftp://example.com/in",
        "/in",
        "https://",
        "https://user:password@example.com/in",
        "https://example.com/in#part",
        "https://example.com:0/in",
        "https://example.com:99999/in",
        "https://exämple.com/in",
        "https://exa mple.com/in",
        "https://localhost/in",
        "https://127.0.0.1/in",
        "https://2130706433/in",
        "https://0177.0.0.1/in",
        "https://0x7f.1/in",
        "https://10.1.2.3/in",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/in",
        "https://[::1]/in",
        "https://[::ffff:127.0.0.1]/in",
        "https://[::127.0.0.1]/in",
        "https://[fe80::1%25eth0]/in",
        "https://[fd00::1]/in",
        "https://[64:ff9b::7f00:1]/in",
        "https://0.0.0.0/in",
        "https://224.0.0.1/in",
    ],
)
def test_an_address_that_is_never_sent_to_is_refused(client: APIClient, url: str) -> None:
    refused = client.post(COLLECTION, {"url": url})
    assert field_problems(refused) == {("/url", "webhook.bad_url")}
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("url", ["https://example.com", "https://93.184.216.34:8443/in?x=1"])
def test_public_addresses_are_taken(client: APIClient, url: str) -> None:
    assert create(client, url=url)["url"] == url


def test_the_operator_may_allow_a_host_or_one_port_of_it(client: APIClient, settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset({"intranet.example", "127.0.0.1:8080", "[::1]:80"})

    for url in ("http://intranet.example:81/in", "http://127.0.0.1:8080/in", "http://[::1]/in"):
        assert create(client, url=url)["url"] == url
    for url in ("http://127.0.0.1/in", "https://127.0.0.1:8081/in", "http://[::1]:81/in"):
        assert field_problems(client.post(COLLECTION, {"url": url})) == {("/url", "webhook.bad_url")}


def test_what_is_wrong_with_a_body_is_said_where(client: APIClient) -> None:
    bad = {"url": 7, "event_types": ["job.succeeded", "job.exploded"], "secret": "mine"}
    assert field_problems(client.post(COLLECTION, bad)) == {
        ("/url", "field.type"),
        ("/event_types/1", "field.choice"),
        ("/secret", "field.unknown"),
    }
    assert field_problems(client.post(COLLECTION, {"url": PUBLIC_URL, "event_types": []})) == {
        ("/event_types", "field.length")
    }


def test_a_change_changes_what_it_names(client: APIClient) -> None:
    made = create(client)
    changed = body(client.patch(made["urls"]["self"], {"event_types": ["job.running", "job.queued"]}), 200)
    assert changed["event_types"] == ["job.queued", "job.running"]
    assert changed["url"] == PUBLIC_URL
    changed = body(client.patch(made["urls"]["self"], {"url": "https://other.example/x"}), 200)
    assert (changed["url"], len(changed["event_types"])) == ("https://other.example/x", 2)
    assert field_problems(client.patch(made["urls"]["self"], {"url": "http://other.example/"})) == {
        ("/url", "webhook.bad_url")
    }


def test_disabling_stops_recording_and_enabling_starts_afresh(client: APIClient, user: User) -> None:
    made = create(client, event_types=["job.queued"])
    off = body(client.patch(made["urls"]["self"], {"enabled": False}), 200)
    assert (off["enabled"], off["disabled_reason"]) == (False, "user")
    submit(user)
    assert not WebhookDelivery.objects.exists()
    assert problem(client.post(made["urls"]["test"]), 409)["code"] == "webhook.endpoint_disabled"
    WebhookEndpoint.objects.update(failures=9, failing_since=Now() - timedelta(days=9))

    on = body(client.patch(made["urls"]["self"], {"enabled": True}), 200)
    assert (on["enabled"], on["disabled_reason"], on["failures"], on["failing_since"]) == (True, "", 0, None)
    submit(user)
    assert WebhookDelivery.objects.count() == 1


def test_a_rotation_keeps_the_old_secret_for_a_day(client: APIClient) -> None:
    made = create(client)
    rotated = body(client.post(made["urls"]["rotate_secret"]), 200)
    assert rotated["secret"] != made["secret"]
    endpoint = WebhookEndpoint.objects.annotate(now=Now()).get()
    assert (endpoint.secret, endpoint.previous_secret) == (rotated["secret"], made["secret"])
    assert endpoint.previous_secret_expires_at is not None
    left = endpoint.previous_secret_expires_at - endpoint.now
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)


def test_a_test_message_goes_to_an_endpoint_that_subscribes_to_something_else(client: APIClient) -> None:
    made = create(client, event_types=["job.failed"])
    delivery = body(client.post(made["urls"]["test"]), 202)
    assert (delivery["event_type"], delivery["status"], delivery["attempts"]) == (
        "webhook.test",
        "pending",
        0,
    )
    assert delivery["payload"]["type"] == "webhook.test"
    assert delivery["payload"]["data"]["id"] == made["id"]


def test_deliveries_are_listed_newest_first_and_filtered(client: APIClient, user: User) -> None:
    made = create(client, event_types=["job.queued"])
    jobs = [submit(user) for _ in range(3)]
    WebhookDelivery.objects.filter(job_id=jobs[0].pk).update(delivered_at=Now(), next_attempt_at=None)
    url = made["urls"]["deliveries"]

    listed = body(client.get(url), 200)["results"]
    assert [item["job_id"] for item in listed] == [str(job.pk) for job in reversed(jobs)]
    assert [item["status"] for item in listed] == ["pending", "pending", "delivered"]
    assert listed[0]["event_id"] == f"evt_{jobs[2].pk.hex}_1"
    delivered = body(client.get(f"{url}?status=delivered"), 200)["results"]
    assert [item["job_id"] for item in delivered] == [str(jobs[0].pk)]
    assert len(body(client.get(f"{url}?job_id={jobs[1].pk}"), 200)["results"]) == 1
    assert field_problems(client.get(f"{url}?status=lost")) == {("?status", "field.choice")}
    page = body(client.get(f"{url}?limit=2"), 200)
    assert len(body(client.get(page["next"]), 200)["results"]) == 1


def test_a_message_is_sent_again_with_its_old_id(client: APIClient, user: User) -> None:
    made = create(client, event_types=["job.queued"])
    submit(user)
    WebhookDelivery.objects.update(failed_at=Now(), next_attempt_at=None, attempts=10)
    [failed] = body(client.get(made["urls"]["deliveries"]), 200)["results"]
    again = body(client.post(failed["urls"]["redeliver"]), 202)
    assert (again["status"], again["event_id"]) == ("pending", failed["event_id"])
    row = WebhookDelivery.objects.get()
    assert (row.attempts, row.attempts_before) == (10, 10)


def test_another_endpoints_delivery_is_unknown_here(
    client: APIClient, stranger_client: APIClient, user: User
) -> None:
    mine, other = create(client, event_types=["job.queued"]), create(client)
    submit(user)
    delivery = WebhookDelivery.objects.get()
    theirs = create(stranger_client)
    for who, where in ((client, other), (stranger_client, theirs), (stranger_client, mine)):
        url = f"{COLLECTION}/{where['id']}/deliveries/{delivery.pk}/redeliver"
        problem(who.post(url), 404)


def test_a_deleted_endpoint_is_gone_and_its_rows_follow(client: APIClient, user: User) -> None:
    made = create(client, event_types=["job.queued"])
    submit(user)
    assert client.delete(made["urls"]["self"]).status_code == 204
    problem(client.get(made["urls"]["self"]), 404)
    assert body(client.get(COLLECTION), 200)["results"] == []
    submit(user)
    assert WebhookDelivery.objects.count() == 1

    delete_old_rows()
    assert WebhookEndpoint.objects.exists(), "a transaction that began before may still refer to it"
    WebhookEndpoint.objects.update(deleted_at=Now() - timedelta(hours=2))
    delete_old_rows()
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_old_messages_are_deleted(user: User) -> None:
    make_endpoint(user, event_types=["job.queued"])
    old, _new = submit(user), submit(user)
    WebhookDelivery.objects.filter(job_id=old.pk).update(created_at=Now() - timedelta(days=31))
    assert delete_old_rows() == 1
    assert WebhookDelivery.objects.count() == 1


def test_a_user_has_a_limited_number_of_endpoints(
    client: APIClient, stranger_client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 2)
    first = create(client)
    create(client)
    refused = problem(client.post(COLLECTION, {"url": PUBLIC_URL}), 409)
    assert refused["code"] == "webhook.too_many_endpoints"
    create(stranger_client)
    client.delete(first["urls"]["self"])
    create(client)
