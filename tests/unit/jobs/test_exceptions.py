"""Every error class of the kernel: its code is unique, its sentence is for people, and it renders as a problem."""

import json

import pytest
from django.test import RequestFactory

from aigc_platform.api.exception_handler import exception_handler
from aigc_platform.common.exceptions import PlatformError
from aigc_platform.jobs import exceptions

_CLASSES = [
    found
    for found in vars(exceptions).values()
    if isinstance(found, type)
    and issubclass(found, PlatformError)
    and found.__module__ == exceptions.__name__
]
_STATUS = {
    "InvalidTransitionError": 409,
    "LeaseLostError": 409,
    "JobNotFoundError": 404,
    "IdempotencyMismatchError": 422,
    "NotResumableError": 409,
    "QueueFullError": 503,
    "FilesInUseError": 409,
}


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [found.code for found in _CLASSES]
    assert len(codes) == len(set(codes))
    assert all("." in code for code in codes)


@pytest.mark.parametrize("error_class", _CLASSES, ids=lambda found: found.__name__)
def test_raised_without_words_it_says_what_is_wrong_and_becomes_a_problem_document(
    error_class: type[PlatformError],
) -> None:
    with pytest.raises(error_class) as raised:
        raise error_class
    response = exception_handler(raised.value, {"request": RequestFactory().get("/api/v1/jobs/x")})
    problem = json.loads(response.content)
    assert response.status_code == _STATUS[error_class.__name__]
    assert problem["code"] == error_class.code
    assert problem["detail"] == str(raised.value) == (error_class.__doc__ or "").partition("\n")[0]
    assert problem["detail"].endswith(".")
    assert "Traceback" not in response.content.decode()
