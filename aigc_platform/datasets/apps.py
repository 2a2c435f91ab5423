from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "aigc_platform.datasets"
    label = "datasets"
    verbose_name = "Data sets"

    def ready(self) -> None:
        from aigc_platform.datasets.kinds import DatasetImportKind
        from aigc_platform.jobs.kinds import register

        register(DatasetImportKind())
