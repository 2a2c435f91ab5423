from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "aigc_platform.registry"
    label = "registry"
    verbose_name = "Models"
