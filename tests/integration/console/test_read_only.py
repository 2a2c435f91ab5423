"""The console writes no row by itself: no form takes one, and no code of it touches one."""

import ast
from pathlib import Path

import pytest
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import reverse

import aigc_platform.console
from aigc_platform.console.read_only import ReadOnlyAdmin
from aigc_platform.jobs.models import Job
from tests.factories.showcase import Showcase

READ_ONLY = [
    model for model, options in django_admin.site._registry.items() if isinstance(options, ReadOnlyAdmin)
]
WRITES = {
    "save", "create", "bulk_create", "bulk_update", "update", "delete", "get_or_create", "update_or_create",
    "transition", "append_event",
}  # fmt: skip


def test_a_posted_status_is_refused(console: Client, shown: Showcase) -> None:
    job = shown.running.job
    form = {"status": "succeeded", "status_reason": "", "desired": "run", "fence": "9", "_save": "Save"}

    answer = console.post(reverse("admin:jobs_job_change", args=[job.pk]), form)

    assert answer.status_code == 403
    assert Job.objects.values_list("status", "fence").get(pk=job.pk) == ("running", 1)


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_rows_are_neither_changed_nor_deleted_nor_added(
    console: Client, shown: Showcase, model: type
) -> None:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"  # type: ignore[attr-defined]  # a model class
    row = model._default_manager.first()  # type: ignore[attr-defined]  # a model class
    if row is None:
        assert model.__name__ == "ApiToken"
        return

    assert console.post(reverse(f"{name}_change", args=[row.pk]), {"_save": "Save"}).status_code == 403
    assert console.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert console.get(reverse(f"{name}_add")).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()  # type: ignore[attr-defined]  # a model class


def test_jobs_and_what_belongs_to_them_are_read_only() -> None:
    assert {model.__name__ for model in READ_ONLY} >= {"Job", "Worker", "Dataset", "Model", "ModelVersion"}


def test_no_code_of_the_console_writes_a_row() -> None:
    folder = Path(aigc_platform.console.__file__).parent
    found = [
        f"{path.name}:{node.lineno} {node.func.attr}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES
    ]

    assert found == []
