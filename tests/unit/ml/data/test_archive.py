"""Archives of images: what is accepted and how it ends up, and every refusal with its code."""

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ml.data.archive import ArchiveLimits, pack_archive
from ml.data.packed import PackedDataset
from ml.errors import InvalidDatasetError

Files = Mapping[str, bytes] | Sequence[tuple[str, bytes]]


def encoded(image: Image.Image, image_format: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def grey_png(width: int = 16, height: int = 16, seed: int = 0) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return encoded(Image.fromarray(values))


def zip_of(path: Path, files: Files, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def tar_of(path: Path, files: Files, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # the mode is a plain str here
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def refused(path: Path, code: str, **options: object) -> InvalidDatasetError:
    with pytest.raises(InvalidDatasetError) as caught:
        pack_archive(path, **options)  # type: ignore[arg-type]  # options of one call
    assert caught.value.code == code
    assert str(caught.value).endswith((".", "listed."))
    return caught.value


def refused_file(path: Path, code: str, **options: object) -> None:
    """The archive is refused because of exactly one file."""
    (error,) = refused(path, code, **options).errors
    assert error["code"] == code
    assert error["message"]


def only_image(dataset: PackedDataset) -> NDArray[np.uint8]:
    assert len(dataset.images) == 1
    image: NDArray[np.uint8] = dataset.images[0].permute(1, 2, 0).numpy()
    return image


@pytest.mark.parametrize("prefix", ["", "set/", "./", "a/b/"])
def test_class_folders_become_labels(tmp_path: Path, prefix: str) -> None:
    files = {f"{prefix}{label}/{i}.png": grey_png(seed=i) for label in ("dog", "cat") for i in range(3)}
    dataset = pack_archive(zip_of(tmp_path / "pets.zip", files), require_labels=True)
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert dataset.manifest["class_counts"] == [3, 3]
    assert dataset.name == "pets"
    assert np.array_equal(dataset.images[0, 0].numpy(), np.asarray(Image.open(io.BytesIO(grey_png(seed=0)))))


@pytest.mark.parametrize("prefix", ["", "photos/"])
def test_images_in_one_place_have_no_labels(tmp_path: Path, prefix: str) -> None:
    path = tar_of(tmp_path / "set.tar.gz", {f"{prefix}{i}.png": grey_png(seed=i) for i in range(3)})
    dataset = pack_archive(path)
    assert dataset.labels is None
    assert dataset.classes == ()
    assert len(dataset.images) == 3


@pytest.mark.parametrize("kind", ["zip", "zip-deflated", "tar", "tar.gz"])
def test_same_files_in_any_archive_give_the_same_data(tmp_path: Path, kind: str) -> None:
    files = {f"{c}/{i}.png": grey_png(seed=i) for c in "ab" for i in range(2)}
    path = tmp_path / "set.archive"
    if kind.startswith("zip"):
        zip_of(path, files, zipfile.ZIP_DEFLATED if "deflated" in kind else zipfile.ZIP_STORED)
    else:
        tar_of(path, files, "w" if kind == "tar" else "w:gz")
    reference = pack_archive(zip_of(tmp_path / "reference.zip", files))
    assert pack_archive(path).content_sha256 == reference.content_sha256


def test_clutter_of_operating_systems_is_ignored(tmp_path: Path) -> None:
    files = {
        "set/a.png": grey_png(),
        "__MACOSX/set/._a.png": b"x",
        "set/.DS_Store": b"x",
        "set/._a.png": b"x",
        "Thumbs.db": b"x",
    }
    assert len(pack_archive(zip_of(tmp_path / "set.zip", files)).images) == 1


@pytest.mark.parametrize(
    ("size", "px"),
    [((28, 28), 28), ((32, 32), 32), ((20, 20), 16), ((8, 300), 8), ((500, 400), 64), ((40, 41), 48)],
)
def test_size_is_the_nearest_usual_one(tmp_path: Path, size: tuple[int, int], px: int) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": grey_png(*size)})
    assert pack_archive(path).image_shape == (1, px, px)


def test_explicit_size_and_centre_crop(tmp_path: Path) -> None:
    values = np.zeros((24, 60), dtype=np.uint8)
    values[:, 18:42] = 200
    path = zip_of(tmp_path / "set.zip", {"a.png": encoded(Image.fromarray(values))})
    image = only_image(pack_archive(path, image_px=12))
    assert image.shape == (12, 12, 1)
    assert (image > 180).all()


@pytest.mark.parametrize("px", [4, 129])
def test_impossible_size_is_refused(tmp_path: Path, px: int) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": grey_png()})
    refused(path, "dataset.image_px", image_px=px)


def test_one_coloured_image_makes_the_set_coloured(tmp_path: Path) -> None:
    red = encoded(Image.new("RGB", (16, 16), (255, 0, 0)))
    dataset = pack_archive(zip_of(tmp_path / "set.zip", {"a.png": grey_png(), "b.png": red}))
    assert dataset.image_shape == (3, 16, 16)
    assert dataset.images[1, :, 0, 0].tolist() == [255, 0, 0]
    assert torch.equal(dataset.images[0, 0], dataset.images[0, 2])


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_grey_stored_as_rgb_stays_grey(tmp_path: Path, image_format: str) -> None:
    grey = encoded(Image.new("RGB", (16, 16), (90, 90, 90)), image_format)
    dataset = pack_archive(zip_of(tmp_path / "set.zip", {"a": grey}))
    assert dataset.image_shape[0] == 1
    assert abs(int(dataset.images[0, 0, 8, 8]) - 90) <= 1


def sixteen_bit() -> Image.Image:
    return Image.fromarray(np.full((16, 16), 0x8080, dtype=np.uint16))


def transparent() -> Image.Image:
    return Image.new("RGBA", (16, 16), (10, 20, 30, 0))


def palette() -> Image.Image:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    return image


@pytest.mark.parametrize(
    ("image", "image_format", "expected"),
    [
        (sixteen_bit(), "PNG", [0x80]),
        (transparent(), "PNG", [255]),
        (Image.new("LA", (16, 16), (7, 255)), "PNG", [7]),
        (palette(), "PNG", [12, 34, 56]),
        (Image.new("1", (16, 16), 1), "PNG", [255]),
        (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", [254, 0, 0]),
    ],
)
def test_every_kind_of_pixel_is_converted(
    tmp_path: Path, image: Image.Image, image_format: str, expected: list[int]
) -> None:
    path = zip_of(tmp_path / "set.zip", {"a": encoded(image, image_format)})
    assert only_image(pack_archive(path))[8, 8].tolist() == pytest.approx(expected, abs=2)


def test_photos_stand_upright(tmp_path: Path) -> None:
    values = np.zeros((16, 16), dtype=np.uint8)
    values[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", exif=exif, quality=95)
    image = only_image(pack_archive(zip_of(tmp_path / "set.zip", {"a.jpg": buffer.getvalue()})))
    assert image[2, 8, 0] < 30
    assert image[13, 8, 0] > 220


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 600, b"\x1f\x8bjunk" * 200]
)
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    with pytest.raises(InvalidDatasetError) as caught:
        pack_archive(path)
    assert caught.value.code in {"dataset.not_an_archive", "dataset.archive_damaged"}


def test_gzip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(gzip.compress(b"hello" * 500))
    refused(path, "dataset.not_an_archive")


@pytest.mark.parametrize("maker", [zip_of, tar_of])
def test_archive_cut_short(tmp_path: Path, maker: type) -> None:
    files = {f"{i}.png": grey_png(32, 32, seed=i) for i in range(20)}
    path = maker(tmp_path / "set", files)
    path.write_bytes(path.read_bytes()[:-4000])
    refused(path, "dataset.archive_damaged")


def test_zip_with_a_flipped_bit(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": grey_png()})
    content = bytearray(path.read_bytes())
    content[120] ^= 0xFF
    path.write_bytes(content)
    refused(path, "dataset.archive_damaged")


def test_encrypted_zip(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": grey_png()})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "dataset.archive_encrypted")


@pytest.mark.parametrize("maker", [zip_of, tar_of])
def test_nothing_inside(tmp_path: Path, maker: type) -> None:
    refused(maker(tmp_path / "set", {}), "dataset.empty")
    refused(maker(tmp_path / "set", {"__MACOSX/x": b"1"}), "dataset.empty")


@pytest.mark.parametrize("maker", [zip_of, tar_of])
@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:\\a.png", "..\\a.png"])
def test_names_that_lead_outside(tmp_path: Path, maker: type, name: str) -> None:
    path = maker(tmp_path / "set", [("ok.png", grey_png()), (name, grey_png())])
    refused_file(path, "dataset.unsafe_path")
    assert sorted(tmp_path.iterdir()) == [path]


def test_symbolic_link_in_zip(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ok.png", grey_png())
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused_file(path, "dataset.link_member")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("link.png")
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    refused_file(path, "dataset.link_member")


def test_sparse_file_in_tar(tmp_path: Path) -> None:
    """A few bytes that claim to be a terabyte of zeros (old GNU sparse format)."""
    info = tarfile.TarInfo("a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\0" + b"00000001000\0"
    block[483:495] = b"\x80" + (10**12).to_bytes(11)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    path = tmp_path / "set.tar"
    path.write_bytes(bytes(block) + b"\0" * 512 * 3)
    refused_file(path, "dataset.link_member")


def test_bomb_by_ratio(tmp_path: Path) -> None:
    zeros = b"\0" * (40 * 2**20)
    path = zip_of(tmp_path / "set.zip", {"a.png": zeros}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refused(path, "dataset.archive_bomb")


def test_bomb_by_ratio_in_tar(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "set.tar.gz", {"a.txt": b"\0" * (40 * 2**20)})
    refused(path, "dataset.archive_bomb")


def test_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": b"\0" * (40 * 2**20)}, zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 40 * 2**20), struct.pack("<I", 1000)))
    with pytest.raises(InvalidDatasetError) as caught:
        pack_archive(path)
    assert caught.value.code in {"dataset.archive_bomb", "dataset.archive_damaged"}


@pytest.mark.parametrize("maker", [zip_of, tar_of])
@pytest.mark.parametrize(
    "limits",
    [
        ArchiveLimits(max_entries=4),
        ArchiveLimits(max_total_bytes=1000),
        ArchiveLimits(max_entry_bytes=200),
    ],
)
def test_bomb_by_count_or_size(tmp_path: Path, maker: type, limits: ArchiveLimits) -> None:
    noise = np.random.default_rng(0).bytes(2**20 + 1000)
    files = {**{f"{i}.png": grey_png(seed=i) for i in range(5)}, "noise.png": noise}
    refused(maker(tmp_path / "set", files), "dataset.archive_bomb", limits=limits)


def test_huge_tar_header(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"comment": "x" * 3 * 2**20}
        archive.addfile(info)
    refused(path, "dataset.archive_bomb", limits=ArchiveLimits(max_entry_bytes=2**20))


def test_image_too_small(tmp_path: Path) -> None:
    refused_file(zip_of(tmp_path / "set.zip", {"a.png": grey_png(1, 1)}), "dataset.image_too_small")
    refused_file(zip_of(tmp_path / "set.zip", {"a.png": grey_png(7, 200)}), "dataset.image_too_small")


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (10_000, 9_500), (8_001, 8_001)])
def test_image_too_large(tmp_path: Path, size: tuple[int, int]) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": png_claiming(*size)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused_file(path, "dataset.image_too_large")


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_image_cut_short(tmp_path: Path, image_format: str, share: float) -> None:
    values = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(values), image_format)
    path = zip_of(tmp_path / "set.zip", {"a.png": whole[: max(16, int(len(whole) * share))]})
    refused_file(path, "dataset.image_truncated")


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF"])
def test_other_image_formats(tmp_path: Path, image_format: str) -> None:
    content = encoded(Image.new("L", (16, 16)), image_format)
    for name in (f"a.{image_format.lower()}", "a.png"):
        refused_file(zip_of(tmp_path / "set.zip", {name: content}), "dataset.image_format")


@pytest.mark.parametrize("name", ["readme.txt", "labels.csv", "Makefile"])
def test_files_that_are_no_images(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "set.zip", {"a.png": grey_png(), name: b"some text"})
    refused_file(path, "dataset.not_an_image")


def test_labels_asked_for_but_missing(tmp_path: Path) -> None:
    refused(zip_of(tmp_path / "a.zip", {"a.png": grey_png()}), "dataset.labels_missing", require_labels=True)
    one = zip_of(tmp_path / "b.zip", {"cat/a.png": grey_png(), "cat/b.png": grey_png()})
    assert "cat" in str(refused(one, "dataset.single_class", require_labels=True))
    refused(
        zip_of(tmp_path / "c.zip", {"cat/a.png": grey_png(), "b.png": grey_png()}), "dataset.labels_missing"
    )


def test_nested_class_folders(tmp_path: Path) -> None:
    files = {"train/cat/a.png": grey_png(), "test/dog/a.png": grey_png()}
    refused(zip_of(tmp_path / "set.zip", files), "dataset.nested_folders")


def test_too_many_classes(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {f"{i}/a.png": grey_png() for i in range(4)})
    assert len(pack_archive(path, limits=ArchiveLimits(max_classes=4)).classes) == 4
    refused(path, "dataset.too_many_classes", limits=ArchiveLimits(max_classes=3))


def test_class_names_that_cannot_be_shown(tmp_path: Path) -> None:
    files = {f"{'x' * 150}/a.png": grey_png(), "ok/a.png": grey_png()}
    refused(zip_of(tmp_path / "set.zip", files), "dataset.class_name")


def test_mixed_faults_are_all_listed(tmp_path: Path) -> None:
    files = {
        "a/ok.png": grey_png(),
        "a/tiny.png": grey_png(2, 2),
        "a/cut.png": grey_png(64, 64)[:900],
        "b/text.txt": b"text",
    }
    error = refused(zip_of(tmp_path / "set.zip", files), "dataset.invalid_files")
    assert {entry["file"]: entry["code"] for entry in error.errors} == {
        "a/tiny.png": "dataset.image_too_small",
        "b/text.txt": "dataset.not_an_image",
        "a/cut.png": "dataset.image_truncated",
    }


def test_at_most_a_hundred_faults_are_collected(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {f"{i}.txt": b"text" for i in range(300)})
    assert len(refused(path, "dataset.not_an_image").errors) == 100


def test_progress_is_told(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", {f"{i}.png": grey_png(8, 8) for i in range(250)})
    told: list[tuple[int, int]] = []
    pack_archive(path, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 250), (200, 250)]
