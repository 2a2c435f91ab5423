from rest_framework.routers import SimpleRouter

from aigc_platform.studio.views import (
    EvaluationViewSet,
    GenerationViewSet,
    RecipeViewSet,
    TrainingViewSet,
)

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("recipes", RecipeViewSet, basename="recipe")
router.register("trainings", TrainingViewSet, basename="training")
router.register("generations", GenerationViewSet, basename="generation")
router.register("evaluations", EvaluationViewSet, basename="evaluation")

urlpatterns = router.urls
