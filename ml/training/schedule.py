"""How settings fall while training: one half cosine of images seen for all of them."""

import math


def cosine_factor(final: float, *, images_seen: int, total_images: int) -> float:
    """1 at the start, `final` at the end of the budget and after it.

    >>> [round(cosine_factor(0.2, images_seen=n, total_images=100), 3) for n in (0, 50, 100, 300)]
    [1.0, 0.6, 0.2, 0.2]
    """
    share = min(1.0, images_seen / max(1, total_images))
    return final + (1 - final) * (1 + math.cos(math.pi * share)) / 2
