"""The admin site, as a superuser and as others see it."""

import pytest
from django.test import Client

from aigc_platform.accounts.models import User
from tests.factories.accounts import make_admin
from tests.factories.showcase import Showcase, showcase


@pytest.fixture
def admin(db: None) -> User:
    return make_admin()


@pytest.fixture
def console(admin: User) -> Client:
    """Return a browser in which the superuser is logged in."""
    client = Client()
    client.force_login(admin)
    return client


@pytest.fixture
def shown(db: None) -> Showcase:
    return showcase()
