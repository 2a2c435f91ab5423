"""The sidebar: what an operator looks after, in the order of how often."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

_SECTIONS: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    # title, then for each entry: title, icon, admin view, permission
    (
        "Work",
        (
            ("Jobs", "work_history", "jobs_job_changelist", "jobs.view_job"),
            ("Workers", "memory", "jobs_worker_changelist", "jobs.view_worker"),
        ),
    ),
    (
        "Content",
        (
            ("Data sets", "photo_library", "datasets_dataset_changelist", "datasets.view_dataset"),
            ("Models", "deployed_code", "registry_model_changelist", "registry.view_model"),
            ("Model versions", "history", "registry_modelversion_changelist", "registry.view_modelversion"),
        ),
    ),
    (
        "Webhooks",
        (
            ("Endpoints", "webhook", "webhooks_webhookendpoint_changelist", "webhooks.view_webhookendpoint"),
            ("Messages", "send", "webhooks_webhookdelivery_changelist", "webhooks.view_webhookdelivery"),
        ),
    ),
    (
        "People",
        (
            ("Users", "person", "accounts_user_changelist", "accounts.view_user"),
            ("Groups", "group", "auth_group_changelist", "auth.view_group"),
            ("API tokens", "key", "accounts_apitoken_changelist", "accounts.view_apitoken"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return Unfold's sidebar with the entries that this person may open."""
    overview = {"items": [{"title": "Overview", "icon": "monitoring", "link": reverse("admin:index")}]}
    sections = [_section(title, entries, request) for title, entries in _SECTIONS]
    return [overview, *(section for section in sections if section["items"])]


def _section(
    title: str, entries: tuple[tuple[str, str, str, str], ...], request: HttpRequest
) -> dict[str, Any]:
    return {
        "title": title,
        "separator": True,
        "items": [
            {"title": name, "icon": icon, "link": reverse(f"admin:{view}")}
            for name, icon, view, permission in entries
            if _may_open(request, permission)
        ],
    }


def _may_open(request: HttpRequest, permission: str) -> bool:
    return request.user.has_perm(permission) or request.user.has_perm(permission.replace("view_", "change_"))
