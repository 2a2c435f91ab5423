from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "aigc_platform.api"
    label = "api"
    verbose_name = "API"
