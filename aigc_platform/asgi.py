"""The same code as an ASGI application, for connections that stay open while they wait."""

from django.conf import settings
from django.core.asgi import get_asgi_application

from aigc_platform.common.postgresql import expect_answers_within
from aigc_platform.settings.env import use_settings

use_settings("aigc_platform.settings.production")

application = get_asgi_application()
expect_answers_within(settings.DATABASE_ANSWER_SECONDS)
