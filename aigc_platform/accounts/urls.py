from rest_framework.routers import SimpleRouter

from aigc_platform.accounts.views import TokenViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("tokens", TokenViewSet, basename="token")

urlpatterns = router.urls
