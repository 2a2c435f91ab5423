"""The API and the admin as a WSGI application."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from aigc_platform.common.postgresql import expect_answers_within
from aigc_platform.settings.env import use_settings

use_settings("aigc_platform.settings.production")

application = get_wsgi_application()
expect_answers_within(settings.DATABASE_ANSWER_SECONDS)
