"""From the bytes of an uploaded image to pixels: which files we take, and how each kind becomes RGB."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ml.catalog import MIN_IMAGE_PX
from ml.errors import MlError

FORMATS = ("PNG", "JPEG", "WEBP")
_IMAGE_SUFFIXES = frozenset(
    {"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "heic", "avif", "svg", "ico", "jp2", "ppm"}
)
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError)
"""What Pillow's decoders raise on damaged data."""
_PAPER = (255, 255, 255)
"""What transparent images are laid on."""


class ImageRefusedError(MlError):
    """One image that cannot be used, with the code its file error gets."""


def inspect_image(content: bytes, name: str, *, max_pixels: int) -> tuple[int, int]:
    """Return width and height in pixels, read from the header alone.

    Raises:
        ImageRefusedError: not an image of a known format, too small, too large, or a damaged header.
    """
    if not _has_known_magic(content):
        suffix = name.rpartition(".")[2].lower()
        if suffix in _IMAGE_SUFFIXES:
            raise ImageRefusedError(
                "dataset.image_format", "This is not a PNG, JPEG or WebP image, whatever its name says."
            )
        raise ImageRefusedError(
            "dataset.not_an_image",
            "This is not an image. Remove it, or upload PNG, JPEG or WebP images only.",
        )
    with _decoder_errors(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
    if width * height > max_pixels:
        raise _too_large(f"{width}x{height} px")
    if min(width, height) < MIN_IMAGE_PX:
        raise ImageRefusedError(
            "dataset.image_too_small",
            f"This image is {width}x{height} px; the shorter side needs at least {MIN_IMAGE_PX} px.",
        )
    return width, height


def decode_image(content: bytes, px: int) -> NDArray[np.uint8]:
    """Decode, crop the centre square and resize it.

    Args:
        content: a file that `inspect_image` accepted.
        px: width and height wanted.

    Returns:
        uint8 [px, px, 3]; grey images have three equal channels.

    Raises:
        ImageRefusedError: the data is cut short or damaged.
    """
    with _decoder_errors(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        # Lets the JPEG decoder skip detail that the resize would throw away.
        image.draft(None, (4 * px, 4 * px))
        upright = ImageOps.exif_transpose(image)
        fitted = ImageOps.fit(_to_rgb(upright), (px, px), method=Image.Resampling.BICUBIC)
        return np.asarray(fitted)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: 16 bits scaled to 8, transparency laid on white, palettes and CMYK converted."""
    if image.mode.startswith("I"):
        # 16-bit grey PNG; Pillow's own conversion clips at 255 instead of scaling.
        values = np.asarray(image).astype(np.uint32).clip(0, 65535)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, (*_PAPER, 255))
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("RGB")


def _has_known_magic(content: bytes) -> bool:
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return is_webp or content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turn whatever a decoder raises on bad data into one refusal with a reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF and the like: not our user's concern
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_large("huge") from None
    except UnidentifiedImageError:
        raise ImageRefusedError(
            "dataset.image_truncated", "This image is cut short or damaged at its start."
        ) from None
    except _DECODER_ERRORS as error:
        raise ImageRefusedError(
            "dataset.image_truncated", f"This image is cut short or damaged ({error})."
        ) from error


def _too_large(what: str) -> ImageRefusedError:
    return ImageRefusedError(
        "dataset.image_too_large", f"This image is {what}, too large to decode safely. Scale it down."
    )
