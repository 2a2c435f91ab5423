"""Every address of the platform."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import defaults

from aigc_platform.api import exception_handler as api_errors
from aigc_platform.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("api/", include("aigc_platform.api.urls")),
    path("api/v1/", include("aigc_platform.accounts.urls")),
    path("api/v1/", include("aigc_platform.jobs.urls")),
    path("api/v1/", include("aigc_platform.datasets.urls")),
    path("api/v1/", include("aigc_platform.registry.urls")),
    path("api/v1/", include("aigc_platform.studio.urls")),
    path("api/v1/", include("aigc_platform.webhooks.urls")),
    path("admin/", admin.site.urls),
]


def _is_for_a_person(request: HttpRequest) -> bool:
    return request.path.startswith("/admin/")


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = defaults.bad_request if _is_for_a_person(request) else api_errors.bad_request
    return answer(request, exception)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = defaults.permission_denied if _is_for_a_person(request) else api_errors.permission_denied
    return answer(request, exception)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = defaults.page_not_found if _is_for_a_person(request) else api_errors.not_found
    return answer(request, exception)


def handler500(request: HttpRequest) -> HttpResponse:
    answer = defaults.server_error if _is_for_a_person(request) else api_errors.server_error
    return answer(request)
