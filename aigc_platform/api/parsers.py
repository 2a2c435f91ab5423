"""JSON bodies, read strictly."""

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from aigc_platform.api.pointers import join
from aigc_platform.common.exceptions import FieldProblem, InvalidInputError


class StrictJSONParser(JSONParser):
    """DRF's parser, less what would fail later: absurd nesting, NUL characters, half surrogate pairs.

    PostgreSQL stores neither of the latter two in text or jsonb.
    """

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
            problems = list(_text_problems(data, ""))
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error
        if problems:
            raise InvalidInputError("The body holds text that cannot be stored.", errors=problems[:20])
        return data


def _text_problems(value: Any, pointer: str) -> list[FieldProblem]:
    if isinstance(value, str):
        return [] if _is_storable(value) else [_bad_text(pointer)]
    if isinstance(value, Mapping):
        problems = []
        for name, inner in value.items():
            if not _is_storable(name):
                # The name itself cannot go into a pointer that has to be encoded.
                problems.append(_bad_text(pointer))
            else:
                problems += _text_problems(inner, join(pointer, name))
        return problems
    if isinstance(value, list):
        return [
            problem
            for index, inner in enumerate(value)
            if isinstance(inner, str | Mapping | list)
            for problem in _text_problems(inner, join(pointer, index))
        ]
    return []


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _bad_text(pointer: str) -> FieldProblem:
    return FieldProblem(pointer, "field.text", "Text must not hold NUL characters or half surrogate pairs.")
