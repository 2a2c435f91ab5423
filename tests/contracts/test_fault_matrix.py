"""Every fault of the matrix is made by some test, and the table says which."""

import re

from aigc_platform.settings.env import REPOSITORY_DIR
from tests.faults.matrix import FAULTS

_FOLDER = REPOSITORY_DIR / "tests" / "faults"


def _marked() -> dict[int, set[str]]:
    """Return for each fault the test files that have a test marked with it."""
    found: dict[int, set[str]] = {}
    for path in sorted(_FOLDER.glob("test_*.py")):
        for numbers in re.findall(r"^@pytest\.mark\.fault\(([\d, ]+)\)", path.read_text(), re.MULTILINE):
            for number in numbers.split(","):
                found.setdefault(int(number), set()).add(path.name)
    return found


def test_every_fault_has_a_test_and_the_table_names_it() -> None:
    marked = _marked()
    assert set(marked) == set(FAULTS)
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", (_FOLDER / "README.md").read_text(), re.MULTILINE)
    named = {int(number): set(re.findall(r"`(test_\w+\.py)`", files)) for number, files in rows}
    assert named == marked
