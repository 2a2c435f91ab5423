"""The configured store, and one with small parts so that multipart is tested with small files."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from aigc_platform.storage import keys
from aigc_platform.storage.interface import S3Config
from aigc_platform.storage.s3 import S3ObjectStore
from tests.services import Services

MIB = 1024 * 1024


@pytest.fixture
def config(services: Services) -> S3Config:
    return S3Config(
        endpoint_url=services.s3_endpoint_url,
        public_endpoint_url=services.s3_endpoint_url,
        access_key_id=services.s3_access_key_id,
        secret_access_key=services.s3_secret_access_key,
        bucket=services.s3_bucket,
        region="us-east-1",
    )


@pytest.fixture
def store(config: S3Config) -> S3ObjectStore:
    return S3ObjectStore(config, multipart_threshold_bytes=6 * MIB, part_bytes=5 * MIB)


@pytest.fixture
def folder(store: S3ObjectStore) -> Iterator[str]:
    """A prefix of this test's own, emptied afterwards."""
    prefix = keys.job_prefix(uuid4())
    yield prefix
    store.delete_prefix(prefix)
