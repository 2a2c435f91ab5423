from rest_framework.routers import SimpleRouter

from aigc_platform.jobs.views import ArtifactViewSet, JobViewSet, QueueViewSet, WorkerViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("jobs", JobViewSet, basename="job")
router.register("artifacts", ArtifactViewSet, basename="artifact")
router.register("workers", WorkerViewSet, basename="worker")
router.register("queues", QueueViewSet, basename="queue")

urlpatterns = router.urls
