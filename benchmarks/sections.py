"""Sections of `benchmarks/results/engine.md`, one for each benchmark that writes into it."""

from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "engine.md"


def write_section(name: str, section: str) -> None:
    """Put the section in place of its last one; other benchmarks' sections stay."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = RESULTS.read_text() if RESULTS.exists() else "# Engine\n\n"
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2].lstrip("\n") if found else ""
    RESULTS.write_text(f"{before.rstrip()}\n\n{begin}\n{section.strip()}\n{end}\n{after}")
