"""How generated images become files: one by one, or all in one archive."""

import hashlib
import json
import re
import zipfile
from contextlib import suppress
from typing import Protocol

from pydantic import JsonValue

from ml.codecs.provenance import TRAINED_ALGORITHMIC_MEDIA
from workers.runner.job import Job

_ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""The format's earliest: the same images give the same archive, whenever it is made."""
_LONGEST_SLUG = 40


class Delivery(Protocol):
    """Takes the encoded images of one job, in order, and names its artifacts."""

    def add(self, index: int, class_name: str | None, png: bytes) -> None:
        """Deliver one image."""
        ...

    def close(self) -> None:
        """Complete what has to wait for the last image."""
        ...

    def abandon(self) -> None:
        """Let go of open files; the job has ended without these images."""
        ...


class FileDelivery:
    """Each image is a file and an artifact of its own."""

    def __init__(self, job: Job, *, prefix: str, seed: int) -> None:
        self._job = job
        self._prefix = prefix
        self._seed = seed
        self._folder = job.folder("images")

    def add(self, index: int, class_name: str | None, png: bytes) -> None:
        """Write and name the file."""
        path = self._folder / f"{index:06d}.png"
        path.write_bytes(png)
        metadata: dict[str, JsonValue] = {"seed": self._seed, "index": index, "class": class_name}
        self._job.artifact(
            "image",
            path,
            index=index,
            filename=image_filename(self._prefix, index, class_name),
            metadata=metadata,
        )

    def close(self) -> None:
        """Nothing is left to do."""

    def abandon(self) -> None:
        """No file is open between two images."""


class ArchiveDelivery:
    """All images in one zip, stored as they are (PNG does not compress twice), with a manifest at its end."""

    def __init__(self, job: Job, *, prefix: str, seed: int, about: dict[str, JsonValue]) -> None:
        """Begin the archive.

        Args:
            job: whose images they are.
            prefix: how file names begin.
            seed: of the generation.
            about: facts about all images, put at the head of the manifest.
        """
        self._job = job
        self._prefix = prefix
        self._seed = seed
        self._about = about
        self._files: list[dict[str, JsonValue]] = []
        self._path = job.folder("archive") / f"{prefix}.zip"
        self._zip = zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED)

    def add(self, index: int, class_name: str | None, png: bytes) -> None:
        """Append the image."""
        name = image_filename(self._prefix, index, class_name)
        self._zip.writestr(zipfile.ZipInfo(name, _ZIP_TIMESTAMP), png)
        self._files.append(
            {
                "file": name,
                "sha256": hashlib.sha256(png).hexdigest(),
                "seed": self._seed,
                "index": index,
                "class": class_name,
            }
        )

    def close(self) -> None:
        """Write the manifest, complete the archive and name it."""
        manifest = {
            "ai_generated": True,
            "digital_source_type": TRAINED_ALGORITHMIC_MEDIA,
            **self._about,
            "count": len(self._files),
            "files": self._files,
        }
        entry = zipfile.ZipInfo("manifest.json", _ZIP_TIMESTAMP)
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, json.dumps(manifest, ensure_ascii=False) + "\n")
        self._zip.comment = f"AI-made images ({TRAINED_ALGORITHMIC_MEDIA})".encode()
        self._zip.close()
        self._job.artifact("archive", self._path, metadata={"seed": self._seed, "count": len(self._files)})

    def abandon(self) -> None:
        """Close the file, whatever is in it."""
        with suppress(OSError):
            self._zip.close()


def image_filename(prefix: str, index: int, class_name: str | None) -> str:
    """Name an image for people: `digits-000012-class3.png`, `shoes-000012-ankle-boot.png`.

    >>> image_filename("digits", 12, "3")
    'digits-000012-class3.png'
    >>> image_filename("shoes", 7, "Ankle boot")
    'shoes-000007-ankle-boot.png'
    """
    if class_name is None:
        return f"{prefix}-{index:06d}.png"
    about_class = slug(class_name)
    return f"{prefix}-{index:06d}-{'class' if about_class.isdigit() else ''}{about_class}.png"


def slug(text: str) -> str:
    """Letters, digits and single hyphens, lower case, never empty: safe in any file system.

    >>> slug("T-shirt/top")
    't-shirt-top'
    >>> slug("../..")
    'x'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_SLUG].strip("-") or "x"
