from django.apps import AppConfig
from django.contrib import admin


class ConsoleConfig(AppConfig):
    name = "aigc_platform.console"
    verbose_name = "Console"

    def ready(self) -> None:
        # Unfold's own start page lists tables; ours says how the platform is doing.
        admin.site.index_template = "console/dashboard.html"
        admin.site.index_title = "Overview"
