"""Makers of the fields that several recipes' settings share: names, ranges, units."""

from typing import Annotated, Any

from pydantic import Field

LARGEST_SEED = 2**53 - 1
"""Seeds travel as JSON numbers, which are exact up to 2^53 - 1 in every language."""

Width = Annotated[int, Field(ge=4, le=2048)]


def unit(name: str) -> dict[str, Any]:
    """JSON Schema extension that carries a field's unit."""
    return {"unit": name}


def widths(default: tuple[int, ...], description: str) -> Any:
    """A field for the hidden layers of a dense network."""
    return Field(
        default=default,
        min_length=1,
        max_length=8,
        strict=False,
        description=description,
        json_schema_extra=unit("neurons"),
    )


def channels(default: int, description: str) -> Any:
    """A field for the width of a convolutional network."""
    return Field(default=default, ge=4, le=512, description=description, json_schema_extra=unit("channels"))


def weight(most: float, description: str) -> Any:
    """A field for the strength of a penalty; 0 is off."""
    return Field(default=0.0, ge=0, le=most, description=description)


def interval(penalty: str) -> Any:
    """A field for lazy regularisation."""
    return Field(
        default=1,
        ge=1,
        le=64,
        description=f"{penalty} is computed every so many steps, so many times as strong "
        "(Karras et al. 2020, arXiv:1912.04958, section 3.1).",
        json_schema_extra=unit("steps"),
    )
