"""Writes that several attempts share: together if all may, each alone if one may not."""

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError

from workers.effects import Effects, Shared, flush_together


class _Book:
    """Notes what is written; refuses what stands in `refused`; is away while `is_away`."""

    def __init__(self) -> None:
        self.pages: list[list[str]] = []
        self.done: list[str] = []
        self.refused: set[str] = set()
        self.is_away = False

    def write(self, parts: Sequence[Any]) -> None:
        if self.is_away:
            raise OperationalError("away")
        if self.refused & set(parts):
            raise ValueError(f"refused: {parts}")
        self.pages.append(list(parts))

    def queue(self, *parts: str) -> Effects:
        effects = Effects()
        for part in parts:
            effects.add(
                lambda part=part: self._alone(part),  # type: ignore[misc]  # bound now
                shared=Shared(self.write, part, lambda part=part: self.done.append(part)),  # type: ignore[misc]
            )
        return effects

    def _alone(self, part: str) -> None:
        self.write([part])
        self.done.append(part)


def test_what_stands_first_in_several_queues_is_written_at_once_and_in_order() -> None:
    book = _Book()
    queues = [book.queue("a1", "a2"), book.queue("b1", "b2"), book.queue("c1")]
    flush_together(queues)
    assert book.pages == [["a1", "b1", "c1"], ["a2", "b2"]]
    assert book.done == ["a1", "b1", "c1", "a2", "b2"]
    assert all(queue.is_empty for queue in queues)


def test_one_that_is_refused_leaves_all_to_be_written_alone() -> None:
    book = _Book()
    book.refused = {"b"}
    first, second, third = queues = [book.queue("a"), book.queue("b"), book.queue("c")]
    flush_together(queues)
    assert book.pages == []
    first.flush()
    with pytest.raises(ValueError, match="refused"):
        second.flush()
    third.flush()
    assert (book.pages, book.done) == ([["a"], ["c"]], ["a", "c"])


def test_while_the_database_is_away_nothing_is_lost_and_nothing_is_tried_again_at_once() -> None:
    book = _Book()
    queues = [book.queue("a"), book.queue("b")]
    book.is_away = True
    flush_together(queues)
    book.is_away = False
    flush_together(queues)
    for queue in queues:
        queue.flush()
    assert (book.pages, book.done) == ([], [])
    assert not any(queue.is_empty for queue in queues)


def test_a_write_of_ones_own_comes_before_what_could_be_shared_after_it() -> None:
    book = _Book()
    mixed = Effects()
    mixed.add(lambda: book.pages.append(["own"]))
    mixed.add(lambda: book.write(["m"]), shared=Shared(book.write, "m", lambda: None))
    flush_together([mixed, book.queue("a")])
    assert book.pages == []
    mixed.flush()
    assert book.pages == [["own"], ["m"]]
