"""Links to stored files: straight from the store, for a quarter of an hour, one key each."""

from aigc_platform.jobs.models import Artifact
from aigc_platform.storage.object_store import get_object_store

LINK_SECONDS = 900


def download_url(artifact: Artifact) -> str:
    """Return a link that downloads this artifact. Checking that the caller may have it comes first."""
    return get_object_store().presign_get(
        artifact.key,
        filename=artifact.filename,
        media_type=artifact.media_type,
        expires_seconds=LINK_SECONDS,
    )
