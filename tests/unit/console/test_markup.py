"""Words for times, sizes and progress."""

from datetime import UTC, datetime, timedelta

import pytest

from aigc_platform.console import markup


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h"),
        (timedelta(days=2, seconds=5), "2 d"),
    ],
)
def test_durations_name_their_two_largest_units(length: float | timedelta | None, words: str) -> None:
    assert markup.duration(length) == words


def test_a_moment_carries_its_exact_time() -> None:
    at = datetime(2020, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

    assert 'datetime="2020-01-02T03:04:05+00:00" title="2020-01-02 03:04:05 UTC"' in markup.moment(at)
    assert "2020-01-02 03:04:05</time>" in markup.exact_moment(at)
    assert markup.moment(None) == markup.exact_moment(None) == "–"


def test_a_moment_to_come_is_told_as_such() -> None:
    assert ">in 59 min" in markup.moment(datetime.now(UTC) + timedelta(minutes=60))


@pytest.mark.parametrize(
    ("progress", "share", "words"),
    [
        ({}, None, ""),
        ({"current": 3, "total": None, "unit": "images"}, None, "3 images"),
        ({"current": 12800, "total": 40000, "unit": "images"}, 0.32, "12,800 of 40,000 images"),
        ({"current": 9, "total": 8, "unit": "files"}, 1.0, "9 of 8 files"),
        ({"current": 0, "total": 0, "unit": "files"}, None, "0 of 0 files"),
        ({"current": "x", "total": 1}, None, ""),
    ],
)
def test_progress_is_a_share_and_words(progress: dict[str, object], share: float | None, words: str) -> None:
    assert markup.fraction(progress) == share
    assert markup.progress_words(progress) == words


def test_json_is_escaped_and_cut() -> None:
    assert "&lt;script&gt;" in markup.pretty_json({"a": "<script>"})
    assert "&lt;script&gt;" in markup.one_line_json({"a": "<script>"})
    assert markup.one_line_json({"a": "x" * 300}, limit=20) == (
        '<code class="c-code c-wrap">{&quot;a&quot;: &quot;xxxxxxxxxxxxx…</code>'
    )
    assert markup.pretty_json(None) == markup.pretty_json({}) == markup.one_line_json({}) == "–"
