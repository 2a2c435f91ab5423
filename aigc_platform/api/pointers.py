"""Where in a body a validation error is: DRF's and pydantic's errors as JSON pointers (RFC 6901)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError as PydanticValidationError
from rest_framework.exceptions import ErrorDetail
from rest_framework.settings import api_settings

from aigc_platform.common.exceptions import FieldProblem

_CODES = {
    # DRF
    "required": "field.required",
    "unknown": "field.unknown",
    "null": "field.null",
    "blank": "field.blank",
    "empty": "field.blank",
    "invalid": "field.invalid",
    "not_a_dict": "field.type",
    "not_a_list": "field.type",
    "invalid_choice": "field.choice",
    "min_value": "field.range",
    "max_value": "field.range",
    "min_length": "field.length",
    "max_length": "field.length",
    # pydantic
    "missing": "field.required",
    "extra_forbidden": "field.unknown",
    "literal_error": "field.choice",
    "enum": "field.choice",
    "greater_than": "field.range",
    "greater_than_equal": "field.range",
    "less_than": "field.range",
    "less_than_equal": "field.range",
    "finite_number": "field.range",
    "string_too_short": "field.length",
    "string_too_long": "field.length",
    "too_short": "field.length",
    "too_long": "field.length",
    "string_pattern_mismatch": "field.pattern",
}


def join(prefix: str, part: str | int) -> str:
    """Return the pointer to a member or an item of what `prefix` points at."""
    return f"{prefix}/{str(part).replace('~', '~0').replace('/', '~1')}"


def problems_of_drf(detail: Any, prefix: str = "") -> list[FieldProblem]:
    """Flatten the `detail` of a DRF ValidationError: nested serializers, list items, whole-object errors."""
    if isinstance(detail, Mapping):
        return [
            problem
            for name, inner in detail.items()
            for problem in problems_of_drf(inner, _member_pointer(prefix, name))
        ]
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        return [
            problem
            for index, inner in enumerate(detail)
            for problem in problems_of_drf(inner, prefix if isinstance(inner, str) else join(prefix, index))
        ]
    code = (isinstance(detail, ErrorDetail) and detail.code) or "invalid"
    return [FieldProblem(prefix, _CODES.get(code, code if "." in code else "field.invalid"), str(detail))]


def problems_of_pydantic(error: PydanticValidationError, prefix: str = "") -> list[FieldProblem]:
    """List what pydantic found, each below `prefix`, for example `/config/kimg`."""
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        pointer = prefix
        for part in item["loc"]:
            pointer = join(pointer, part)
        problems.append(FieldProblem(pointer, _pydantic_code(item["type"]), _sentence(item["msg"])))
    return problems


def _member_pointer(prefix: str, name: Any) -> str:
    return prefix if name == api_settings.NON_FIELD_ERRORS_KEY else join(prefix, name)


def _pydantic_code(kind: str) -> str:
    if kind in _CODES:
        return _CODES[kind]
    return "field.type" if kind.endswith(("_type", "_parsing", "_from_float")) else "field.invalid"


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message if message.endswith(".") else f"{message}."
