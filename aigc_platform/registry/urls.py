from rest_framework.routers import SimpleRouter

from aigc_platform.registry.views import ModelViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("models", ModelViewSet, basename="model")

urlpatterns = router.urls
