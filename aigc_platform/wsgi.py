"""The API and the admin as a WSGI application."""

from django.core.wsgi import get_wsgi_application

from aigc_platform.settings.env import use_settings

use_settings("aigc_platform.settings.production")

application = get_wsgi_application()
