from django.apps import AppConfig


class StandaloneConfig(AppConfig):
    name = "aigc_platform.standalone"
    label = "standalone"
    verbose_name = "Standalone stack"
