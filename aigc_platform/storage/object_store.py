"""`get_object_store()`: the object store that the settings name."""

import os
from functools import lru_cache

from django.conf import settings

from aigc_platform.storage.interface import ObjectStore, S3Config


def get_object_store() -> ObjectStore:
    """Return this process's store for the present settings."""
    return _store_for(
        S3Config(
            endpoint_url=settings.S3_ENDPOINT_URL,
            public_endpoint_url=settings.S3_PUBLIC_ENDPOINT_URL or settings.S3_ENDPOINT_URL,
            access_key_id=settings.S3_ACCESS_KEY_ID,
            secret_access_key=settings.S3_SECRET_ACCESS_KEY,
            bucket=settings.S3_BUCKET,
            region=settings.S3_REGION,
        )
    )


@lru_cache(maxsize=8)
def _store_for(config: S3Config) -> ObjectStore:
    from aigc_platform.storage.s3 import S3ObjectStore

    return S3ObjectStore(config)


# A forked child must not share its parent's open connections.
os.register_at_fork(after_in_child=_store_for.cache_clear)
