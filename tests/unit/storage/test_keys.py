"""Keys come from ids, hashes and numbers; nothing else gets in."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigc_platform.storage import keys

JOB = UUID("0190a3b0-0000-7000-8000-000000000001")
OTHER = UUID("0190a3b0-0000-7000-8000-000000000002")
SHA = "ab" * 32


def test_layouts_are_stable_because_rows_point_at_them() -> None:
    assert keys.upload_key(JOB, OTHER) == f"uploads/{JOB}/{OTHER}"
    assert keys.dataset_key(JOB, SHA, "npy") == f"datasets/{JOB}/{SHA}.npy"
    assert keys.artifact_key(JOB, 3, "image", 12, SHA, "png") == f"jobs/{JOB}/f3/image-12-{SHA}.png"
    assert keys.checkpoint_key(JOB, 3, 500, SHA, "state.safetensors") == (
        f"checkpoints/{JOB}/f3/500-{SHA}-state.safetensors"
    )
    assert keys.model_version_key(JOB, SHA, "safetensors") == f"models/{JOB}/{SHA}.safetensors"


@pytest.mark.parametrize(
    "make",
    [
        lambda text: keys.artifact_key(JOB, 1, text, 0, SHA, "png"),
        lambda text: keys.artifact_key(JOB, 1, "image", 0, text, "png"),
        lambda text: keys.artifact_key(JOB, 1, "image", 0, SHA, text),
        lambda text: keys.checkpoint_key(JOB, 1, 5, SHA, text),
        lambda text: keys.dataset_key(JOB, SHA, text),
    ],
)
@given(text=st.text())
def test_no_text_leaves_the_folder_it_was_made_for(make, text: str) -> None:  # type: ignore[no-untyped-def]
    try:
        key = make(text)
    except ValueError:
        return
    assert str(JOB) in key.split("/")[1]
    assert ".." not in key
    assert "//" not in key
    assert key.isascii()
    assert key.count("/") == {"jobs": 3, "checkpoints": 3, "datasets": 2}[key.split("/")[0]]


@pytest.mark.parametrize("role", ["../x", "Image", "a/b", "", "a" * 40, "image\n"])
def test_odd_roles_are_refused(role: str) -> None:
    with pytest.raises(ValueError, match="role"):
        keys.artifact_key(JOB, 1, role, 0, SHA, "png")


def test_ids_must_be_uuids_and_numbers_not_negative() -> None:
    with pytest.raises(TypeError, match="UUID"):
        keys.job_prefix("../etc")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ValueError, match="negative"):
        keys.attempt_prefix(JOB, -1)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "jobs",
        "jobs/",
        f"jobs/{JOB}",
        "other/0190b7a2-4f3e-7c11-8a52-6d1f0c9e7b35/",
        f"jobs/{JOB}x/",
        f"/jobs/{JOB}/",
    ],
)
def test_wide_prefixes_are_not_deletable(prefix: str) -> None:
    assert not keys.is_deletable_prefix(prefix)


def test_one_ids_folder_is_deletable() -> None:
    assert keys.is_deletable_prefix(keys.job_prefix(JOB))
    assert keys.is_deletable_prefix(keys.attempt_prefix(JOB, 2))
    assert keys.is_deletable_prefix(keys.upload_prefix(JOB))
