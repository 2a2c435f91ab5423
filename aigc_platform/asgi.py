"""The same code as an ASGI application, for connections that stay open while they wait."""

from django.core.asgi import get_asgi_application

from aigc_platform.settings.env import use_settings

use_settings("aigc_platform.settings.production")

application = get_asgi_application()
