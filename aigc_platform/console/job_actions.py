"""What an operator does with jobs: one service call a job, and an account of which ones were refused and why."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import ngettext
from pydantic import ValidationError

from aigc_platform.accounts.models import User
from aigc_platform.common.exceptions import PlatformError
from aigc_platform.jobs import services
from aigc_platform.jobs.exceptions import InvalidTransitionError
from aigc_platform.jobs.kinds import get_kind
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.states import LEASED, TERMINAL, JobStatus, StatusReason

MOST_AT_ONCE = 500
"""Each job is a transaction of its own; more than this would outlast a request."""

_NAMED_REFUSALS = 10


@dataclass(frozen=True)
class JobAction:
    """One thing to do with a job.

    Attributes:
        name: part of the URL.
        title: on buttons.
        explanation: what it does, for the question before it is done; empty if nothing is lost by it.
        call: the service call.
        reaches: statuses that mean the job did as told.
        offered_in: statuses in which a button makes sense.
        done: sentence in singular and plural, with `%(count)d`.
        changes_status: a job whose status stays was refused.
    """

    name: str
    title: str
    icon: str
    call: Callable[[Job, User], Job]
    reaches: frozenset[JobStatus]
    offered_in: frozenset[JobStatus]
    done: tuple[str, str]
    explanation: str = ""
    changes_status: bool = True

    def is_offered(self, job: Job) -> bool:
        if self.name == "pause" and job.status in LEASED and not get_kind(job.kind).resumable:
            return False
        if self.name == "delete" and job.is_terminal:
            return job.deletion_requested_at is None and get_kind(job.kind).in_use(job) is None
        return job.status in self.offered_in


@dataclass
class Account:
    """What became of each job: what the service returned, or why it refused."""

    done: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, str]] = field(default_factory=list)


def perform(action: JobAction, jobs: Iterable[Job], user: User) -> Account:
    """Call the action's service once for each job."""
    account = Account()
    for job in jobs:
        try:
            after = action.call(job, user)
        except PlatformError as error:
            account.refused.append((job, error.message))
        except ValidationError:
            # Written by an older release whose settings this one no longer has.
            account.refused.append((job, "Its spec does not fit this release; submit a new job."))
        else:
            unchanged = after.pk == job.pk and after.status == job.status
            if (unchanged and action.changes_status) or after.status not in action.reaches:
                account.refused.append((job, f"The job is {after.status} already."))
            else:
                account.done.append(after)
    return account


def tell(request: HttpRequest, action: JobAction, account: Account) -> None:
    """Say how many jobs did as told, and name those that were refused."""
    if account.done:
        count = len(account.done)
        messages.success(request, ngettext(*action.done, count) % {"count": count})
    if account.refused:
        count = len(account.refused)
        head = ngettext("%(count)d job refused", "%(count)d jobs refused", count) % {"count": count}
        parts = [f"{job}: {reason.rstrip('.')}" for job, reason in account.refused[:_NAMED_REFUSALS]]
        if count > _NAMED_REFUSALS:
            parts.append(f"and {count - _NAMED_REFUSALS} more")
        messages.warning(request, f"{head}. {'; '.join(parts)}.")


def _actor(user: User) -> str:
    return f"admin:{user.pk}"


def _cancel(job: Job, user: User) -> Job:
    return services.request_cancel(job.pk, actor=_actor(user), reason=StatusReason.ADMIN)


def _pause(job: Job, user: User) -> Job:
    return services.request_pause(job.pk, actor=_actor(user))


def _resume(job: Job, user: User) -> Job:
    return services.resume_job(job.pk, actor=_actor(user))


def _retry(job: Job, user: User) -> Job:
    return services.retry_job(job.pk, actor_user=user, role="admin")


def _delete(job: Job, user: User) -> Job:
    if job.deletion_requested_at is not None:
        raise InvalidTransitionError("It is deleted already.")
    return services.request_deletion(job.pk, actor=_actor(user))


_ACTIVE = frozenset({JobStatus.STARTING, JobStatus.RUNNING, JobStatus.FINALIZING})

ACTIONS: Mapping[str, JobAction] = MappingProxyType(
    {
        action.name: action
        for action in (
            JobAction(
                name="pause",
                title="Pause",
                icon="pause",
                call=_pause,
                reaches=frozenset({JobStatus.PAUSED, JobStatus.PAUSING}),
                offered_in=_ACTIVE | {JobStatus.QUEUED},
                done=("%(count)d job told to pause.", "%(count)d jobs told to pause."),
            ),
            JobAction(
                name="resume",
                title="Resume",
                icon="play_arrow",
                call=_resume,
                reaches=frozenset({JobStatus.QUEUED}),
                offered_in=frozenset({JobStatus.PAUSED}),
                done=("%(count)d job queued again.", "%(count)d jobs queued again."),
            ),
            JobAction(
                name="retry",
                title="Submit again",
                icon="replay",
                call=_retry,
                reaches=frozenset({JobStatus.QUEUED}),
                offered_in=TERMINAL,
                done=("%(count)d job submitted again.", "%(count)d jobs submitted again."),
            ),
            JobAction(
                name="cancel",
                title="Cancel",
                icon="cancel",
                call=_cancel,
                reaches=frozenset({JobStatus.CANCELED, JobStatus.CANCELING}),
                offered_in=frozenset(JobStatus) - TERMINAL - {JobStatus.CANCELING},
                done=("%(count)d job told to cancel.", "%(count)d jobs told to cancel."),
                explanation="It stops for good and publishes nothing more. Its owner can submit it again.",
            ),
            JobAction(
                name="delete",
                title="Delete",
                icon="delete",
                call=_delete,
                reaches=TERMINAL,
                offered_in=TERMINAL,
                done=("The files of %(count)d job are deleted.", "The files of %(count)d jobs are deleted."),
                explanation="Its outputs and checkpoints are hidden at once and their bytes deleted for good. "
                "Its history stays.",
                changes_status=False,
            ),
        )
    }
)
