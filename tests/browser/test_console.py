"""The operator's way through the console in a real browser: look, open, cancel; light and dark, wide and narrow."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, Response, expect
from pytest_django.live_server_helper import LiveServer

from aigc_platform.accounts.models import ApiToken, User
from aigc_platform.jobs import leases
from aigc_platform.jobs.models import Job
from tests.browser.conftest import log_in
from tests.factories.showcase import Showcase

PICTURES_LOADED = """
() => [...document.querySelectorAll('main img, #content img')]
    .every(image => image.complete && image.naturalWidth > 0)
"""


def job_url(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def scroll_through(page: Page) -> None:
    """Bring lazy pictures into view."""
    page.evaluate(
        "document.querySelectorAll('img[loading=lazy]').forEach(image => { image.loading = 'eager' })"
    )


def test_an_operator_logs_in_sees_the_platform_and_cancels_a_job(
    page: Page, operator: User, shown: Showcase
) -> None:
    log_in(page, operator)
    expect(page.get_by_role("link", name=re.compile("Running 1"))).to_be_visible()
    expect(page.get_by_text("NVIDIA L4")).to_be_visible()
    scroll_through(page)
    page.wait_for_function(PICTURES_LOADED)

    page.get_by_role("link", name=re.compile("Running 1")).click()
    page.get_by_role("link", name=re.compile("Training my-digits")).click()
    expect(page).to_have_url(re.compile(re.escape(job_url(shown.running.job))))

    page.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("alertdialog")
    expect(question).to_contain_text("publishes nothing more")
    question.get_by_role("button", name="Keep it").click()
    expect(question).to_be_hidden()
    assert Job.objects.get(pk=shown.running.job.pk).status == "running"

    page.get_by_role("button", name="Cancel").click()
    question.get_by_role("button", name="Cancel job").click()

    expect(page.get_by_text("1 job told to cancel.")).to_be_visible()
    expect(page.locator("#job-panel")).to_contain_text("canceling")
    job = Job.objects.get(pk=shown.running.job.pk)
    assert (job.status, job.status_reason) == ("canceling", "admin")


def test_the_list_cancels_what_is_ticked_and_names_the_refused(
    page: Page, operator: User, shown: Showcase
) -> None:
    log_in(page, operator)
    page.goto(reverse("admin:jobs_job_changelist"))
    for job in (shown.queued, shown.trained):
        page.locator(f"input.action-select[value='{job.pk}']").check()
    page.get_by_label("Select action to run").select_option("cancel_jobs")
    page.get_by_role("button", name="Run").click()

    expect(page.get_by_text("1 job told to cancel.")).to_be_visible()
    expect(page.get_by_text(f"1 job refused. training {shown.trained.pk}")).to_be_visible()
    assert Job.objects.get(pk=shown.queued.pk).status == "canceled"


def test_filters_narrow_the_list(page: Page, operator: User, shown: Showcase) -> None:
    log_in(page, operator)
    page.goto(reverse("admin:jobs_job_changelist"))
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(8)
    page.locator("a", has_text="Filters").click()
    page.locator("select[name=kind]").select_option("generation", force=True)
    page.get_by_role("button", name="Apply filters").click()

    expect(rows).to_have_count(2)
    expect(page).to_have_url(re.compile("kind=generation"))


def test_a_running_job_refreshes_by_itself(page: Page, operator: User, shown: Showcase) -> None:
    log_in(page, operator)
    page.goto(job_url(shown.running.job))
    expect(page.locator("#job-panel")).to_contain_text("60 %")

    claim = shown.running
    progress = {"current": 30_000, "total": 40_000, "unit": "images", "metrics": {}}
    leases.report_progress(claim.job, claim.fence, progress, actor=claim.actor)

    expect(page.locator("#job-panel")).to_contain_text("75 %")
    expect(page.locator("#job-panel")).to_contain_text("30,000 of 40,000 images")


def test_a_token_is_made_for_somebody_and_its_secret_is_seen_once(
    page: Page, operator: User, shown: Showcase
) -> None:
    log_in(page, operator)
    page.goto(reverse("admin:accounts_apitoken_add"))
    page.locator(".select2-selection").click()
    page.get_by_role("option", name=shown.owner.username).click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("read: GET and HEAD").check()
    page.get_by_role("button", name="Save", exact=True).click()

    secret = page.locator(".c-secret").inner_text()
    token = ApiToken.objects.get(owner=shown.owner, name="laptop")
    assert secret.startswith(f"aigc_{token.prefix}_")
    page.reload()
    expect(page.locator(".c-secret")).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_broken_or_too_wide(
    browser: Browser, live_server: LiveServer, operator: User, shown: Showcase, scheme: str, width: int
) -> None:
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("response", lambda answer: faults.extend(_fault(answer)))
    log_in(page, operator)

    for url in _pages(shown):
        page.goto(url)
        scroll_through(page)
        page.wait_for_function(PICTURES_LOADED)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            faults.append(f"{url} is wider than {width} px")
        assert page.locator("html").evaluate("node => node.classList.contains('dark')") is (scheme == "dark")

    context.close()
    assert faults == []


def _fault(answer: Response) -> list[str]:
    return [f"{answer.status} {answer.url}"] if answer.status >= 400 else []


def _pages(shown: Showcase) -> list[str]:
    lists = ("jobs_job", "jobs_worker", "datasets_dataset", "registry_model", "registry_modelversion")
    others = (
        "webhooks_webhookendpoint",
        "webhooks_webhookdelivery",
        "accounts_user",
        "accounts_apitoken",
        "auth_group",
    )
    return [
        reverse("admin:index"),
        *(reverse(f"admin:{name}_changelist") for name in (*lists, *others)),
        reverse("admin:accounts_apitoken_add"),
        *(
            job_url(job)
            for job in (shown.trained, shown.running.job, shown.generated, shown.failed, shown.queued)
        ),
        reverse("admin:jobs_worker_change", args=[shown.worker.pk]),
        reverse("admin:datasets_dataset_change", args=[shown.dataset.pk]),
        reverse("admin:datasets_dataset_change", args=[shown.rejected.pk]),
        reverse("admin:registry_model_change", args=[shown.version.model_id]),
        reverse("admin:registry_modelversion_change", args=[shown.version.pk]),
        reverse("admin:webhooks_webhookendpoint_change", args=[shown.hooks.pk]),
        reverse("admin:accounts_user_change", args=[shown.owner.pk]),
    ]
