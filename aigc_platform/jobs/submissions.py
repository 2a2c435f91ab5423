"""What a request says about a job beside its spec."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from aigc_platform.api.idempotency import HEADER, idempotency_key, request_fingerprint
from aigc_platform.api.serializers import LabelsField, StrictSerializer, WholeNumberField
from aigc_platform.jobs.services import Submission

_LONGEST_SECONDS = 30 * 24 * 3600

idempotency_parameter = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="Any text of up to 255 characters. The same key and body give the first job again.",
)


class SubmissionSerializer(StrictSerializer):
    """The options that every kind of job takes."""

    labels = LabelsField(default=dict, help_text="Your own tags: up to 16 names with values.")
    start_within_seconds = WholeNumberField(
        min_value=1,
        max_value=_LONGEST_SECONDS,
        default=None,
        allow_null=True,
        help_text="Expire the job if it has not started by then.",
    )
    run_timeout_seconds = WholeNumberField(
        min_value=1,
        max_value=_LONGEST_SECONDS,
        default=None,
        allow_null=True,
        help_text="Fail the job if it runs longer than that.",
    )


SUBMISSION_FIELDS = frozenset(SubmissionSerializer().fields)


def keyed_submission(request: Request, **options: Any) -> Submission:
    """Return the submission of this request: its options, its Idempotency-Key, its fingerprint."""
    return Submission(
        idempotency_key=idempotency_key(request),
        request_sha256=request_fingerprint(request, request.data),
        **options,
    )
