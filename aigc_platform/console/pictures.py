"""Links by which a browser loads stored files straight from the object store."""

from dataclasses import dataclass

from aigc_platform.jobs.models import Artifact
from aigc_platform.storage.object_store import get_object_store

LINK_SECONDS = 3600
"""Pages stay open and load pictures as they scroll into view, so links last longer than the API's."""


@dataclass(frozen=True)
class Picture:
    """One stored picture on a page.

    Attributes:
        url: presigned, for `<img>` and for a download.
        caption: what it shows.
    """

    url: str
    caption: str
    artifact: Artifact


def file_url(artifact: Artifact) -> str:
    """Return a presigned link; made locally, so it costs no request to the store."""
    return get_object_store().presign_get(
        artifact.key,
        filename=artifact.filename,
        media_type=artifact.media_type,
        expires_seconds=LINK_SECONDS,
    )


def picture_of(artifact: Artifact) -> Picture:
    images_seen = artifact.metadata.get("images_seen")
    caption = f"after {images_seen:,} images" if isinstance(images_seen, int) else artifact.filename
    return Picture(url=file_url(artifact), caption=caption, artifact=artifact)
