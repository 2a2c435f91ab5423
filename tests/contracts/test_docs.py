"""Links between documents lead somewhere, and the index names every page."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


def links(page: Path) -> list[Path]:
    """Return what a page's relative links point at, code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    return [(page.parent / target).resolve() for target in _LINK.findall(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = [str(target) for target in links(page) if not target.exists()]
    assert missing == []


def test_the_index_names_every_page() -> None:
    named = set(links(DOCS / "README.md"))
    folders = {target for target in named if target.is_dir()}
    left_out = [
        page
        for page in sorted(DOCS.rglob("*.md"))
        if page not in named and page.parent not in folders and page != DOCS / "README.md"
    ]
    assert left_out == []
