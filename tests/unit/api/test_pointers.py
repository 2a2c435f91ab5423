"""Validation errors point at the member that is wrong."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rest_framework import serializers

from aigc_platform.api.pointers import join, problems_of_drf, problems_of_pydantic
from aigc_platform.api.serializers import StrictSerializer


class Inner(StrictSerializer):
    size = serializers.IntegerField(min_value=1, max_value=8)


class Outer(StrictSerializer):
    name = serializers.CharField(max_length=3)
    inner = Inner(required=False)
    items = Inner(many=True, required=False)
    labels = serializers.DictField(child=serializers.CharField(max_length=2), required=False)
    numbers = serializers.ListField(child=serializers.IntegerField(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["name"] == "bad":
            raise serializers.ValidationError("These do not go together.")
        return attrs


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/name", "field.required")]),
        ({"name": "abcd"}, [("/name", "field.length")]),
        ({"name": "bad"}, [("", "field.invalid")]),
        ({"name": "a", "extra": 1}, [("/extra", "field.unknown")]),
        ({"nme": "a"}, [("/name", "field.required"), ("/nme", "field.unknown")]),
        ({"name": "a", "inner": {"size": 9, "x": 1}}, [("/inner/size", "field.range"), ("/inner/x", "field.unknown")]),
        ({"name": "a", "inner": 3}, [("/inner", "field.invalid")]),
        ({"name": "a", "items": [{"size": 1}, {"size": "x"}]}, [("/items/1/size", "field.invalid")]),
        ({"name": "a", "items": {}}, [("/items", "field.type")]),
        ({"name": "a", "labels": {"a/b~c": "long"}}, [("/labels/a~1b~0c", "field.length")]),
        ({"name": "a", "numbers": [1, "x"]}, [("/numbers/1", "field.invalid")]),
        ({"name": "a", "a/b": 1}, [("/a~1b", "field.unknown")]),
    ],
)  # fmt: skip
def test_drf_errors(body: Any, expected: list[tuple[str, str]]) -> None:
    serializer = Outer(data=body)
    assert not serializer.is_valid()
    problems = problems_of_drf(serializer.errors)
    assert [(problem.pointer, problem.code) for problem in problems] == expected
    assert all(problem.message for problem in problems)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kimg: float = Field(default=1, gt=0, le=10)
    batch: int = 1
    widths: tuple[int, ...] = Field(default=(1,), strict=False)

    @model_validator(mode="after")
    def _fits(self) -> "Config":
        if self.batch > 100:
            raise ValueError("batch does not fit")
        return self


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"kimg": 11}, ("/config/kimg", "field.range")),
        ({"kimg": "1"}, ("/config/kimg", "field.type")),
        ({"kimg": float("nan")}, ("/config/kimg", "field.range")),
        ({"batch": 1.5}, ("/config/batch", "field.type")),
        ({"batch": 101}, ("/config", "field.invalid")),
        ({"widths": [1, "x"]}, ("/config/widths/1", "field.type")),
        ({"kimmg": 1}, ("/config/kimmg", "field.unknown")),
        ({"a/b": 1}, ("/config/a~1b", "field.unknown")),
        ([], ("/config", "field.type")),
    ],
)
def test_pydantic_errors(config: Any, expected: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(config)
    [problem] = problems_of_pydantic(caught.value, "/config")
    assert (problem.pointer, problem.code) == expected
    assert problem.message.endswith(".")
    assert "Value error" not in problem.message


def test_join_escapes_as_rfc_6901_says() -> None:
    assert join("/a", "b/c~d") == "/a/b~1c~0d"
    assert join("", 3) == "/3"
