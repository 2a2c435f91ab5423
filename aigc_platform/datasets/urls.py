from rest_framework.routers import SimpleRouter

from aigc_platform.datasets.views import DatasetViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("datasets", DatasetViewSet, basename="dataset")

urlpatterns = router.urls
