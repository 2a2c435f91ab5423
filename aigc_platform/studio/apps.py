from django.apps import AppConfig


class StudioConfig(AppConfig):
    name = "aigc_platform.studio"
    label = "studio"
    verbose_name = "Trainings and generations"

    def ready(self) -> None:
        from aigc_platform.jobs.kinds import register
        from aigc_platform.studio.kinds import EvaluationKind, GenerationKind, TrainingKind

        register(TrainingKind())
        register(GenerationKind())
        register(EvaluationKind())
