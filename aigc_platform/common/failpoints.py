"""Named places at which a fault test may end this process, to prove that nothing is lost there.

Nothing is armed unless the test settings arm it, so reaching a place costs one look into an empty dictionary.
"""

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def arm(place: str, act: Callable[[], None]) -> None:
    """Call `act` whenever this process reaches the place."""
    _armed[place] = act


def reach(place: str) -> None:
    """Say that this process has come to the place."""
    if act := _armed.get(place):
        act()
