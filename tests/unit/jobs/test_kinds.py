"""The registry of job kinds."""

import pytest
from pydantic import BaseModel

from aigc_platform.jobs import kinds
from aigc_platform.jobs.kinds import JobKind, get_kind, kind_names, register


class _Spec(BaseModel):
    pass


class _Kind(JobKind):
    name = "unit.registered"
    queue = "cpu.io"
    spec_type = _Spec


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", {})


def test_a_registered_kind_is_found_by_its_name() -> None:
    kind = _Kind()
    register(kind)
    assert get_kind("unit.registered") is kind
    assert kind_names() == ["unit.registered"]


def test_a_name_cannot_be_taken_twice() -> None:
    register(_Kind())
    with pytest.raises(ValueError, match=r"'unit\.registered' is registered twice"):
        register(_Kind())


def test_an_unknown_kind_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=r"unit\.registered"):
        get_kind("unit.registered")
