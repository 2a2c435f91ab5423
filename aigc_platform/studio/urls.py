from rest_framework.routers import SimpleRouter

from aigc_platform.studio.views import GenerationViewSet, RecipeViewSet, TrainingViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("recipes", RecipeViewSet, basename="recipe")
router.register("trainings", TrainingViewSet, basename="training")
router.register("generations", GenerationViewSet, basename="generation")

urlpatterns = router.urls
