"""Two users with API clients, for every integration test that talks HTTP."""

import pytest
from rest_framework.test import APIClient

from aigc_platform.accounts.models import User
from tests.factories.accounts import client_of, make_user


@pytest.fixture
def user(db: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User) -> APIClient:
    return client_of(user)


@pytest.fixture
def stranger(db: None) -> User:
    return make_user()


@pytest.fixture
def stranger_client(stranger: User) -> APIClient:
    return client_of(stranger)


@pytest.fixture
def anonymous_client() -> APIClient:
    return APIClient(raise_request_exception=False)
