"""Headers and bodies read strictly."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from aigc_platform.api.idempotency import (
    InvalidIdempotencyKeyError,
    idempotency_key,
    request_fingerprint,
)
from aigc_platform.api.parsers import StrictJSONParser
from aigc_platform.api.scopes import Scope, is_granted, scope_for_method
from aigc_platform.common.exceptions import InvalidInputError


def request(path: str = "/api/v1/trainings", **headers: str) -> Request:
    return Request(APIRequestFactory().post(path, {}, format="json", headers=headers))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "abc"),
        (' "abc" ', "abc"),
        (r'"a\"b\\c"', r"a\"b\c".replace('\\"', '"')),
        ("x" * 255, "x" * 255),
        ('"', '"'),
    ],
)
def test_keys_bare_and_quoted(value: str, expected: str) -> None:
    assert idempotency_key(request(**{"Idempotency-Key": value})) == expected


def test_no_header_is_no_key() -> None:
    assert idempotency_key(request()) is None


@pytest.mark.parametrize("value", ["", '""', "  ", "x" * 256, "ä", "a\tb"])
def test_unusable_keys_are_refused(value: str) -> None:
    with pytest.raises(InvalidIdempotencyKeyError) as caught:
        idempotency_key(request(**{"Idempotency-Key": value}))
    assert caught.value.errors[0].pointer == "Idempotency-Key"


def test_the_fingerprint_ignores_spelling_and_sees_content() -> None:
    one = request_fingerprint(request(), {"a": 1, "b": [1, 2]})
    assert one == request_fingerprint(request(), {"b": [1, 2], "a": 1})
    assert one != request_fingerprint(request(), {"a": 1, "b": [2, 1]})
    assert one != request_fingerprint(request("/api/v1/generations"), {"a": 1, "b": [1, 2]})
    assert len(one) == 64


def parse(text: str) -> Any:
    return StrictJSONParser().parse(io.BytesIO(text.encode()), "application/json", {})


@pytest.mark.parametrize("text", ["{", "", "NaN", '{"a": Infinity}', "[" * 100_000, "9" * 5000])
def test_what_is_not_json_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (r'{"a": "x\u0000"}', "/a"),
        (r'{"a": [1, {"b": "\ud800"}]}', "/a/1/b"),
        (r'{"labels": {"\u0000": "x"}}', "/labels"),
        (r'"\udfff"', ""),
    ],
)
def test_text_that_postgresql_cannot_store_is_refused(text: str, pointer: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    assert [(problem.pointer, problem.code) for problem in caught.value.errors] == [(pointer, "field.text")]


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
        lambda inner: st.lists(inner) | st.dictionaries(_text, inner),
        max_leaves=20,
    )
)
def test_ordinary_json_passes_unchanged(value: Any) -> None:
    assert parse(json.dumps(value)) == JSONParser().parse(io.BytesIO(json.dumps(value).encode())) == value


@pytest.mark.parametrize(
    ("method", "held", "granted"),
    [
        ("GET", ["read"], True),
        ("GET", ["write"], True),
        ("GET", ["*"], True),
        ("HEAD", ["read"], True),
        ("POST", ["read"], False),
        ("POST", ["write"], True),
        ("DELETE", ["read", "write"], True),
        ("PATCH", ["*"], True),
        ("GET", [], False),
        ("GET", ["unknown"], False),
    ],
)
def test_scopes(method: str, held: list[str], granted: bool) -> None:
    assert is_granted(scope_for_method(method), held) is granted
    assert is_granted(Scope.ALL, held) is ("*" in held)
