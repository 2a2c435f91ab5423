"""Words and small pictures on a canvas: fonts, colours, images of any number of channels brought to RGB."""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK = (28, 30, 34)
MUTED = (112, 117, 126)
RULE = (222, 224, 229)
PAPER = (255, 255, 255)
LINES = ((20, 120, 140), (205, 85, 40), (110, 80, 190), (150, 130, 20))
_BEHIND_ALPHA = 200
_NOT_IN_FONT = re.compile("[^ -~·…]")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, the same on every machine.

    Raises:
        OSError: this Pillow was built without FreeType.
    """
    found = ImageFont.load_default(size)
    if isinstance(found, ImageFont.FreeTypeFont):
        return found
    raise OSError("Pillow was built without FreeType, so a model card cannot be drawn.")


def drawable(text: str, instead: str) -> str:
    """The text without accents if the font has all of its letters then, else `instead`."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )
    return instead if _NOT_IN_FONT.search(plain) else plain


def fitting(text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int = 14,
    colour: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    """Draw a line of text; `anchor` as Pillow has it."""
    draw.text(at, text, font=font(size), fill=colour, anchor=anchor)


def paragraph(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, *, width: int, lowest: int, size: int = 13
) -> int | None:
    """Draw a wrapped text between `at` and the height `lowest`; return where the next may begin.

    Returns None, and draws nothing, where it does not fit.
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    step = round(size * 1.4)
    if at[1] + step * len(lines) > lowest:
        return None
    for i, line in enumerate(lines):
        write(draw, (at[0], at[1] + i * step), fitting(line, size, width), size=size, colour=MUTED)
    return at[1] + step * len(lines) + size // 2


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring uint8 [H, W, C] to RGB: grey is repeated, and alpha (C is 2 or 4) laid over light grey."""
    channels = image.shape[2]
    colour: NDArray[np.float64] = image[:, :, : 1 if channels <= 2 else 3].astype(np.float64)
    if channels in {2, 4}:
        alpha = image[:, :, -1:] / 255
        colour = colour * alpha + _BEHIND_ALPHA * (1 - alpha)
    rgb = np.broadcast_to(colour.round(), (*image.shape[:2], 3))
    return np.ascontiguousarray(rgb.astype(np.uint8))


def enlarged(image: NDArray[np.uint8], scale: int) -> Image.Image:
    """A small picture as RGB, every pixel a square of `scale` pixels."""
    rgb = as_rgb(image)
    return Image.fromarray(np.repeat(np.repeat(rgb, scale, axis=0), scale, axis=1))


def scale_for(px: int) -> int:
    """How many times to enlarge an image of this side: about 64 pixels at least, never smaller."""
    return max(1, 64 // px)
