import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.runner.delivery import image_filename, slug


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits", "digits"),
        ("T-shirt/top", "t-shirt-top"),
        ("../../etc/passwd", "etc-passwd"),
        ("猫", "x"),
        ("", "x"),
        ("a" * 100, "a" * 40),
        ("pets:3", "pets-3"),
    ],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("prefix", "index", "class_name", "expected"),
    [
        ("digits", 12, "3", "digits-000012-class3.png"),
        ("shoes", 7, "Ankle boot", "shoes-000007-ankle-boot.png"),
        ("faces", 1_234_567, None, "faces-1234567.png"),
    ],
)
def test_image_names(prefix: str, index: int, class_name: str | None, expected: str) -> None:
    assert image_filename(prefix, index, class_name) == expected


@given(st.text(), st.one_of(st.none(), st.text()))
def test_whatever_users_call_things_file_names_are_safe(prefix: str, class_name: str | None) -> None:
    name = image_filename(slug(prefix), 0, class_name)
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-.")
    assert name.count(".") == 1
    assert name[0] not in "-."
    assert len(name) < 200
