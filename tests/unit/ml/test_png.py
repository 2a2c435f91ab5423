"""PNG files: the pixels come back, the size stays near Pillow's, and the AI-made label can be read."""

import io
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from ml.codecs.png import encode_png, read_provenance
from ml.codecs.provenance import TRAINED_ALGORITHMIC_MEDIA, Provenance, parse_xmp_packet, xmp_packet

FULL = Provenance(
    platform="studio",
    creator_tool="aigc-platform 1.2",
    job="0193-a<b>&\"c'",
    model_version="my-digits:3",
    model_sha256="ab" * 32,
    seed=2**53 - 1,
    index=0,
    class_name="雪 & <ice>",
)


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.load()
        return np.asarray(image)


@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 1), (8, 8), (28, 28, 1), (32, 17), (1, 40), (40, 1), (5, 7, 3), (64, 64, 3), (301, 2, 3)],
        *[(8, 9, 2), (128, 128, 4)],
    ],
)
def test_pillow_reads_the_same_pixels(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape) + shape[0])
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    decoded = pixels_of(encode_png(image, FULL))
    assert np.array_equal(decoded, image[:, :, 0] if shape[2:] == (1,) else image)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_alpha_is_alpha(channels: int, mode: str) -> None:
    data = encode_png(np.full((4, 4, channels), 9, dtype=np.uint8), FULL)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
    assert read_provenance(data) == FULL


@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_images(value: int) -> None:
    image = np.full((32, 32, 3), value, dtype=np.uint8)
    assert np.array_equal(pixels_of(encode_png(image, FULL)), image)


def test_views_that_are_not_contiguous() -> None:
    image = np.arange(3 * 20 * 20, dtype=np.uint16).astype(np.uint8).reshape(3, 20, 20).transpose(1, 2, 0)
    flipped = image[::-1, ::2]
    assert np.array_equal(pixels_of(encode_png(flipped, FULL)), flipped)


def test_smooth_images_are_about_as_small_as_pillows() -> None:
    wave = np.sin(np.linspace(0, 6, 256))
    image = ((np.outer(wave, wave) + 1) * 127).astype(np.uint8)
    theirs = io.BytesIO()
    Image.fromarray(image).save(theirs, "PNG")
    own = len(encode_png(image, FULL)) - len(xmp_packet(FULL))
    assert own < 1.3 * len(theirs.getvalue())


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4, 5), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        np.zeros((1, 4, 4, 3), dtype=np.uint8),
    ],
)
def test_other_arrays_are_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="PNG needs uint8"):
        encode_png(image, FULL)


@pytest.mark.parametrize("provenance", [FULL, Provenance(), Provenance(seed=0, index=7)])
def test_label_comes_back(provenance: Provenance) -> None:
    data = encode_png(np.zeros((8, 8), dtype=np.uint8), provenance)
    assert read_provenance(data) == provenance


def test_label_is_where_other_programs_look_for_it() -> None:
    data = encode_png(np.zeros((8, 8), dtype=np.uint8), FULL)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        xmp = image.info["XML:com.adobe.xmp"]
    assert f'Iptc4xmpExt:DigitalSourceType="{TRAINED_ALGORITHMIC_MEDIA}"' in xmp
    assert 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' in xmp


def test_label_survives_what_xml_cannot_hold() -> None:
    data = encode_png(np.zeros((8, 8), dtype=np.uint8), Provenance(job="a\x00b\x1fc\ud800"))
    label = read_provenance(data)
    assert label is not None
    assert label.job == "a\ufffdb\ufffdc\ufffd"


def test_label_written_as_elements_by_another_tool_is_read() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<e:DigitalSourceType>{TRAINED_ALGORITHMIC_MEDIA}</e:DigitalSourceType>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet)
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG", pnginfo=text)
    label = read_provenance(buffer.getvalue())
    assert label is not None
    assert label.digital_source_type == TRAINED_ALGORITHMIC_MEDIA
    assert label.platform == ""


def test_files_without_a_label_have_none() -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    assert read_provenance(buffer.getvalue()) is None
    assert read_provenance(b"") is None
    assert read_provenance(b"GIF89a") is None


def test_damaged_label_is_no_label() -> None:
    data = encode_png(np.zeros((8, 8), dtype=np.uint8), FULL)
    forged = data.replace(b'aigc:Index="0"', b'aigc:Index="1"')
    assert forged != data
    assert read_provenance(forged) is None
    for size in range(0, len(data) - 20, 7):
        assert read_provenance(data[:size]) in (None, FULL)


def _with_packet(packet: bytes) -> bytes:
    body = b"iTXt" + b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    chunk = (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"not xml",
        b"\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
        xmp_packet(FULL).replace(b"DigitalSourceType", b"SomethingElse"),
        xmp_packet(FULL).replace(b'aigc:Seed="', b'aigc:Seed="x'),
        b" " * 70_000 + xmp_packet(FULL),
    ],
)
def test_hostile_packets_are_no_label(packet: bytes) -> None:
    assert parse_xmp_packet(packet) is None
    assert read_provenance(_with_packet(packet)) is None
