"""A receiver on loopback that the operator has allowed."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from tests.receivers import Receiver, receiver


@pytest.fixture
def hooks(settings: LazySettings) -> Iterator[Receiver]:
    with receiver() as listening:
        settings.WEBHOOK_ALLOWED_HOSTS = frozenset({listening.host})
        yield listening
