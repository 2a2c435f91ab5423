from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "aigc_platform.jobs"
    label = "jobs"
    verbose_name = "Jobs"
