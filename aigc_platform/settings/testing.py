"""Settings for the test suite and for the type checker.

Nothing listens at the addresses below: the fixtures in `tests/conftest.py` start the real servers when a test
asks for them and put their addresses in place, here and in the environment of child processes.
"""

from aigc_platform.settings.env import provide

provide(
    {
        "SECRET_KEY": "testing-only-testing-only-testing-only-testing-only",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/not_started",
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "S3_ACCESS_KEY_ID": "not-started",
        "S3_SECRET_ACCESS_KEY": "not-started",
        "S3_BUCKET": "not-started",
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "console",
    }
)

from aigc_platform.settings.base import *  # noqa: E402, F403 - base reads what was provided above
from aigc_platform.settings.base import DATABASES  # noqa: E402 - the same, for the name changed below

# The test database is the one that child processes (workers, engine, api) are pointed at, not a "test_" twin.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}

# The default hasher takes 100 ms a password on purpose; tests create many users.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
