"""Every list and every page renders for staff, with real rows and files, and for nobody else."""

import re
from html import unescape
from urllib.parse import quote

import httpx
import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from aigc_platform.accounts.models import User
from aigc_platform.accounts.services import create_token
from aigc_platform.datasets.services import NewDataset, create_upload_dataset
from aigc_platform.jobs import leases
from aigc_platform.jobs.models import Worker
from aigc_platform.storage.object_store import get_object_store
from tests.factories.accounts import make_token, make_user
from tests.factories.jobs import submit
from tests.factories.showcase import LIMIT, Showcase, digit_sheet

MODELS: list[type[Model]] = list(django_admin.site._registry)


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_url(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def body(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, f"{url} answered {answer.status_code}"
    return answer.content.decode()


def staff(*permissions: str) -> Client:
    """Return a browser of somebody with these permissions, written `app.codename`."""
    user = make_user()
    User.objects.filter(pk=user.pk).update(is_staff=True)
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def test_every_list_and_every_page_renders(console: Client, shown: Showcase) -> None:
    make_token(shown.owner)
    Group.objects.create(name="operators")

    for model in MODELS:
        assert model._default_manager.exists(), f"the showcase has no {model.__name__}"
        listed = body(console, list_url(model))
        for row in model._default_manager.all():
            assert str(row.pk) in listed
            assert str(row.pk) in body(console, page_url(row))


def test_the_start_page_tells_how_the_platform_is(console: Client, shown: Showcase) -> None:
    page = body(console, reverse("admin:index"))

    tiles = re.findall(r"<span>(\w+)</span><strong>(\d+)</strong>", page)
    assert dict(tiles) == {
        "Waiting": "1",
        "Running": "1",
        "Paused": "1",
        "Succeeded": "3",
        "Failed": "2",
        "Workers": "1",
    }
    assert shown.worker.name in page
    assert "NVIDIA L4" in page
    assert "60 %" in page
    assert "Training broke down before image 12,000" in page
    assert "Training my-digits" in page


def test_the_start_page_shows_the_newest_sheet_of_each_training(console: Client, shown: Showcase) -> None:
    page = body(console, reverse("admin:index"))

    grids = page[page.index("Latest samples") : page.index("Last failures")]
    # Newest first: the one that runs, the one that failed before its first sheet is not there.
    assert re.findall(r"/admin/jobs/job/([0-9a-f-]{36})/", grids) == [
        str(shown.running.job.pk),
        str(shown.trained.pk),
    ]
    assert "after 40,000 images" in grids


def test_a_queue_without_workers_is_called_out(console: Client, shown: Showcase) -> None:
    Worker.objects.update(state="gone")

    page = body(console, reverse("admin:index"))

    assert "No worker is alive" in page
    queues = page[page.index("<h2>Queues</h2>") : page.index("Latest samples")]
    rows = {row.split("<")[0]: row for row in queues.split('<th scope="row">')[1:]}
    assert "\nnone\n" in rows["gpu.sample"]
    assert "\nnone\n" not in rows["gpu.train"]


def test_an_empty_platform_has_a_start_page_too(console: Client) -> None:
    page = body(console, reverse("admin:index"))

    assert "Nothing has failed." in page
    assert "No worker is alive" in page


def test_a_running_job_shows_progress_curves_and_the_newest_sheet(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.running.job))

    assert '<progress max="100" value="60"' in page
    assert "24,000 of 40,000 images" in page
    assert "Samples after 12,800 images" in page
    assert re.findall(r"<strong>(Loss|Logits|Diversity)</strong>", page) == ["Loss", "Logits", "Diversity"]
    losses = page[page.index("<strong>Loss</strong>") : page.index("<strong>Logits</strong>")]
    assert [len(points.split()) for points in re.findall(r'points="([^"]+)"', losses)] == [16, 16]
    assert "gpu-box" in page


def test_pictures_and_downloads_come_from_the_store(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.generated))

    pictures = [unescape(url) for url in re.findall(r'<img loading="lazy" src="([^"]+)"', page)]
    assert len(pictures) == 24
    answer = httpx.get(pictures[3])
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == digit_sheet(1, 1, first=3)

    [link] = re.findall(r'href="([^"]+)"[^>]*>image-3\.png</a>', page)
    answer = httpx.get(unescape(link))
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.content == digit_sheet(1, 1, first=3)


def test_a_failed_job_says_what_went_wrong(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.failed))

    assert "loss_generator became NaN or infinite." in page
    assert "training.non_finite_loss" in page


def test_a_waiting_job_says_what_it_waits_for(console: Client, shown: Showcase) -> None:
    assert "Every worker that serves its queue is busy." in body(console, page_url(shown.queued))

    Worker.objects.update(state="gone")

    assert "No live worker serves its queue." in body(console, page_url(shown.queued))


def test_a_job_names_its_retries_both_ways(console: Client, shown: Showcase) -> None:
    console.post(reverse("admin:jobs_job_do", args=[shown.failed.pk, "retry"]))
    retry = shown.failed.retries.get()

    assert str(retry.pk) in body(console, page_url(shown.failed))
    assert str(shown.failed.pk) in body(console, page_url(retry))


def test_events_are_newest_first_without_progress_and_name_people(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.running.job))

    events = page[page.index('id="events-group"') :]
    order = [
        events.index(f">{name}<")
        for name in ("checkpoint.created", "sample.created", "running", "starting", "queued")
    ]
    assert order == sorted(order)
    assert f"user {shown.owner.username}" in events
    assert "rate" not in events


def test_a_rejected_data_set_lists_its_bad_files(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.rejected))

    assert "2 files of the archive cannot be used." in page
    assert "beach/1.png" in page
    assert "beach/&lt;2&gt;.tif" in page
    assert "TIFF is not read; use PNG." in page


def test_a_ready_data_set_shows_its_contact_sheet_and_class_counts(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.dataset))

    [sheet] = re.findall(r'<img src="([^"]+)" alt="Contact sheet of digits"', page)
    assert httpx.get(unescape(sheet)).content == digit_sheet(10, 10)
    assert re.findall(r'<th scope="row">(\d)</th>.*?<td>(\d+)</td>', page)[3] == ("3", "183")


def test_a_model_version_shows_grid_lineage_and_card(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.version))

    [grid] = re.findall(r'<img src="([^"]+)" alt="Sample grid of my-digits:1"', page)
    assert httpx.get(unescape(grid)).content == digit_sheet(8, 8)
    assert str(shown.trained.pk) in page
    assert page_url(shown.dataset) in page
    assert LIMIT in unescape(page)


def test_a_model_version_shows_figures_beside_their_floors(console: Client, shown: Showcase) -> None:
    page = body(console, page_url(shown.version))

    rows = re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td><td>([^<]+)</td><td>([^<]*)</td>', page)
    assert rows == [
        ("Fréchet distance", "14.69", "2.197", "low"),
        ("Coverage", "0.5738", "0.9727", "high"),
        ("Latent detour", "1.25", "–", "1"),
    ]
    assert "183 samples and as many held-out images" in page
    assert "data CC-BY-4.0, weights not stated" in page
    [sheet] = re.findall(r'<img loading="lazy" src="([^"]+)" alt="Model card of my-digits:1"', page)
    assert httpx.get(unescape(sheet)).content == digit_sheet(4, 16)


def test_lists_of_models_carry_a_small_grid(console: Client, shown: Showcase) -> None:
    for url in (
        reverse("admin:registry_model_changelist"),
        reverse("admin:registry_modelversion_changelist"),
    ):
        [thumbnail] = re.findall(r'<img class="c-thumbnail" loading="lazy" src="([^"]+)"', body(console, url))
        assert httpx.get(unescape(thumbnail)).status_code == 200


def test_pages_stand_while_the_store_is_away(console: Client, shown: Showcase, settings: Settings) -> None:
    settings.S3_ENDPOINT_URL = settings.S3_PUBLIC_ENDPOINT_URL = "http://127.0.0.1:1"
    assert get_object_store() is get_object_store()

    assert "The model card could not be read." in body(console, page_url(shown.version))
    body(console, page_url(shown.running.job))
    body(console, reverse("admin:index"))


def test_strangers_are_sent_to_the_log_in(shown: Showcase) -> None:
    user = Client()
    user.force_login(shown.owner)
    urls = [reverse("admin:index"), page_url(shown.trained), *(list_url(model) for model in MODELS)]
    urls.append(reverse("admin:jobs_job_panel", args=[shown.trained.pk]))

    for client in (Client(), user):
        for url in urls:
            answer = client.get(url)
            assert answer.status_code == 302, url
            assert answer["location"].startswith("/admin/login/")


def test_staff_see_what_their_permissions_allow(shown: Showcase) -> None:
    clerk = staff("registry.view_model")

    assert clerk.get(reverse("admin:jobs_job_changelist")).status_code == 403
    assert clerk.get(page_url(shown.trained)).status_code == 403
    assert clerk.get(reverse("admin:jobs_job_panel", args=[shown.trained.pk])).status_code == 403
    start = body(clerk, reverse("admin:index"))
    assert "Can view job" in start
    assert "broke down" not in start
    sidebar = start[start.index('id="nav-sidebar-apps"') : start.index('id="main"')]
    assert re.findall(r"<span>([^<]+)</span>", sidebar) == ["Overview", "Models"]


def test_looking_is_not_operating(shown: Showcase) -> None:
    viewer = staff("jobs.view_job")

    page = body(viewer, page_url(shown.running.job))
    assert "Pause" not in page
    assert "Cancel" not in page
    assert "Cancel selected jobs" not in body(viewer, reverse("admin:jobs_job_changelist"))
    url = reverse("admin:jobs_job_do", args=[shown.running.job.pk, "cancel"])
    assert viewer.post(url).status_code == 403
    assert leases.renew_lease(shown.running.job, shown.running.fence) == "run"


def test_what_users_write_is_text_everywhere(console: Client, admin: User) -> None:
    hostile = "<script>alert(1)</script>"
    dataset = create_upload_dataset(owner=admin, new=NewDataset(name=hostile))
    token, _ = create_token(user=admin, name=hostile)
    job = submit(admin, labels={hostile: hostile, "note": hostile})
    rows: list[Model] = [dataset, token, job]
    urls = [*(list_url(type(row)) for row in rows), *(page_url(row) for row in rows), reverse("admin:index")]
    urls += [f"{list_url(type(row))}?q={quote(hostile)}" for row in rows]
    console.post(reverse("admin:accounts_apitoken_revoke", args=[token.pk]))
    console.post(reverse("admin:accounts_apitoken_revoke", args=[token.pk]))

    for url in urls:
        assert hostile not in body(console, url), url


def test_an_unknown_job_leads_back_to_the_start_page(console: Client) -> None:
    answer = console.get(
        reverse("admin:jobs_job_change", args=["018f0000-0000-7000-8000-000000000000"]), follow=True
    )

    assert "doesn’t exist" in answer.content.decode()


@pytest.mark.parametrize("name", ["running", "queued", "trained"])
def test_the_panel_refreshes_itself_while_the_job_lives(console: Client, shown: Showcase, name: str) -> None:
    row = getattr(shown, name)
    job = row.job if name == "running" else row

    panel = body(console, reverse("admin:jobs_job_panel", args=[job.pk]))

    assert "<html" not in panel
    assert ("hx-get" in panel) is (name != "trained")
