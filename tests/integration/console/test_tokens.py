"""Tokens: made for somebody, shown once, revoked for ever."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.accounts.services import create_token
from tests.factories.accounts import make_user

LIST = "admin:accounts_apitoken_changelist"
ADD = "admin:accounts_apitoken_add"


def form_for(owner: User, **fields: str) -> dict[str, str]:
    return {"owner": str(owner.pk), "name": "ci", "scope": "read", **fields}


def told(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_new_secret_is_shown_once_and_works(console: Client) -> None:
    owner = make_user()

    page = console.post(reverse(ADD), form_for(owner), follow=True).content.decode()

    [secret] = re.findall(r'<code class="c-secret">([^<]+)</code>', page)
    token = ApiToken.objects.get(owner=owner)
    assert (token.name, token.scopes, token.expires_at) == ("ci", ["read"], None)
    answer = Client().get("/api/v1/jobs", headers={"authorization": f"Token {unescape(secret)}"})
    assert answer.status_code == 200
    for url in (reverse(LIST), reverse("admin:accounts_apitoken_change", args=[token.pk])):
        later = console.get(url).content.decode()
        assert token.prefix in later
        assert secret not in later
        assert token.secret_sha256 not in later


def test_a_token_may_expire_but_not_in_the_past(console: Client) -> None:
    owner = make_user()
    yesterday = timezone.now() - timedelta(days=1)
    past = {"expires_at_0": yesterday.strftime("%Y-%m-%d"), "expires_at_1": "12:00:00"}
    future = {"expires_at_0": "2099-01-01", "expires_at_1": "12:00:00"}

    refused = console.post(reverse(ADD), form_for(owner, **past))
    assert "This time has passed" in refused.content.decode()
    assert not ApiToken.objects.filter(owner=owner).exists()

    console.post(reverse(ADD), form_for(owner, **future))
    assert ApiToken.objects.get(owner=owner).expires_at is not None


def test_unknown_scopes_are_refused(console: Client) -> None:
    owner = make_user()

    answer = console.post(reverse(ADD), form_for(owner, scope="root"))

    assert answer.status_code == 200
    assert not ApiToken.objects.filter(owner=owner).exists()


def test_selected_tokens_are_revoked_and_earlier_ones_named(console: Client) -> None:
    owner = make_user()
    first, secret = create_token(user=owner, name="first")
    second, _ = create_token(user=owner, name="second")
    form = {"action": "revoke_tokens", "_selected_action": [str(first.pk)]}

    assert told(console.post(reverse(LIST), form)) == ["1 token revoked."]
    answer = Client().get("/api/v1/tokens", headers={"authorization": f"Token {secret}"})
    assert answer.status_code == 401

    console.get(reverse(LIST))  # shows the message, so that it is not told twice
    form["_selected_action"] = [str(first.pk), str(second.pk)]
    assert told(console.post(reverse(LIST), form)) == [
        "1 token revoked.",
        f"1 token was revoked before: {first}",
    ]


def test_the_button_on_a_tokens_page_revokes_it(console: Client) -> None:
    token, _ = create_token(user=make_user(), name="first")
    page = reverse("admin:accounts_apitoken_change", args=[token.pk])
    revoke = reverse("admin:accounts_apitoken_revoke", args=[token.pk])
    assert revoke in console.get(page).content.decode()
    assert console.get(revoke).status_code == 405

    answer = console.post(revoke)

    assert told(answer) == ["1 token revoked."]
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert revoke not in console.get(page).content.decode()


def test_lists_tell_active_expired_and_revoked_tokens_apart(console: Client) -> None:
    owner = make_user()
    create_token(user=owner, name="lives")
    create_token(user=owner, name="over", expires_at=timezone.now() - timedelta(seconds=1))
    gone, _ = create_token(user=owner, name="gone")
    console.post(reverse("admin:accounts_apitoken_revoke", args=[gone.pk]))

    page = console.get(reverse(LIST)).content.decode()
    states = re.findall(r"\n\s*(active|expired|revoked)\n", page)
    assert sorted(states) == ["active", "expired", "revoked"]
    revoked = console.get(reverse(LIST), {"state": "revoked"}).content.decode()
    assert gone.prefix in revoked
    assert "lives" not in revoked
