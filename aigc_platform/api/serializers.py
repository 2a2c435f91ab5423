"""The base of every serializer that reads a request: unknown members and coercions are refused."""

from collections.abc import Mapping
from typing import Any, NoReturn

from rest_framework import serializers

_MAX_LABELS = 16
_MAX_LABEL_NAME = 64
_MAX_LABEL_VALUE = 512


class StrictSerializer(serializers.Serializer[Any]):
    """Refuse members the endpoint does not know: a misspelt option must not be ignored silently."""

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            message = f"Unknown field; known are: {', '.join(sorted(known))}."
            errors = {
                str(name): [serializers.ErrorDetail(message, code="unknown")]
                for name in data
                if name not in known
            }
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not errors or not isinstance(error.detail, dict):
                raise
            raise serializers.ValidationError({**error.detail, **errors}) from error
        if errors:
            raise serializers.ValidationError(errors)
        return value


def _refuse(expected: str) -> NoReturn:
    raise serializers.ValidationError(f"This must be {expected}.", code="field.type")


class TextField(serializers.CharField):
    """A JSON string; numbers are not turned into text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            _refuse("a string")
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction; text is not turned into numbers."""

    def to_internal_value(self, data: Any) -> int:
        is_whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if not is_whole or isinstance(data, bool):
            _refuse("a whole number")
        return int(data)


class NumberField(serializers.FloatField):
    """A JSON number; text is not turned into numbers."""

    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            _refuse("a number")
        return super().to_internal_value(data)


class FlagField(serializers.BooleanField):
    """`true` or `false`, nothing that merely resembles them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            _refuse("true or false")
        return data


class LabelsField(serializers.DictField):
    """A user's own tags: up to 16 names of up to 64 characters, values of up to 512."""

    def __init__(self, **options: Any) -> None:
        child = TextField(max_length=_MAX_LABEL_VALUE, allow_blank=True, trim_whitespace=False)
        super().__init__(child=child, **options)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        labels: dict[str, str] = super().to_internal_value(data)
        if len(labels) > _MAX_LABELS:
            raise serializers.ValidationError(f"At most {_MAX_LABELS} labels.", code="field.length")
        message = f"A label's name has 1 to {_MAX_LABEL_NAME} characters."
        bad = {
            name: [serializers.ErrorDetail(message, code="field.length")]
            for name in labels
            if not 1 <= len(name) <= _MAX_LABEL_NAME
        }
        if bad:
            raise serializers.ValidationError(bad)
        return labels


class ProblemItemSerializer(serializers.Serializer[Any]):
    """One thing wrong: where, which rule, and what to do."""

    pointer = serializers.CharField(help_text="JSON pointer into the body, or a file name inside an archive.")
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a job or an import failed."""

    code = serializers.CharField(help_text="Stable name of the error.")
    message = serializers.CharField()
    errors = ProblemItemSerializer(many=True)  # type: ignore[assignment]  # a member of the answer, not the property


class ImageShapeSerializer(serializers.Serializer[Any]):
    """Size of images in pixels; 1 channel is grey, 3 are colour."""

    width = serializers.IntegerField()
    height = serializers.IntegerField()
    channels = serializers.IntegerField()


class PageSerializer(serializers.Serializer[Any]):
    """One page of a list."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
