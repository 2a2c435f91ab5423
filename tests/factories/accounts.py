"""Users and tokens, made by the services that make real ones."""

from itertools import count

from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from aigc_platform.accounts.services import create_superuser, create_token, create_user

PASSWORD = "correct horse battery staple"
_numbers = count(1)


def make_user(username: str | None = None) -> User:
    return create_user(username=username or f"user{next(_numbers)}", password=PASSWORD)


def make_admin() -> User:
    return create_superuser(username=f"admin{next(_numbers)}", password=PASSWORD)


def make_token(user: User) -> str:
    return create_token(user=user, name="tests")[1]


def client_of(user: User) -> APIClient:
    """Return a client that calls the API with a token of this user; errors are answers, not exceptions."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {make_token(user)}")
    return client
