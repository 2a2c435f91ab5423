"""What every ObjectStore must do, on the real server."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from aigc_platform.storage import keys
from aigc_platform.storage.exceptions import (
    ObjectConflictError,
    ObjectCorruptError,
    ObjectNotFoundError,
    StorageError,
)
from aigc_platform.storage.s3 import S3ObjectStore

MIB = 1024 * 1024


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pattern(size: int) -> bytes:
    """Bytes whose chunks all differ, so that a swapped or repeated part shows."""
    return b"".join(index.to_bytes(4, "big") for index in range(-(-size // 4)))[:size]


def test_a_file_comes_back_with_its_hash_size_and_media_type(
    store: S3ObjectStore, folder: str, tmp_path: Path
) -> None:
    data = pattern(100_001)
    source = write(tmp_path / "source", data)
    store.put_file(f"{folder}a", source, sha256=sha256(data), media_type="image/png", filename="Zahl é.png")

    info = store.head(f"{folder}a")
    assert (info.size, info.sha256, info.media_type) == (100_001, sha256(data), "image/png")
    assert store.get_file(f"{folder}a", tmp_path / "copy", sha256=sha256(data)) == sha256(data)
    assert (tmp_path / "copy").read_bytes() == data
    assert store.get_range(f"{folder}a", 4, 8) == data[4:12]
    assert store.get_range(f"{folder}a", 100_000, 50) == data[100_000:]


def test_bytes_and_the_empty_file_are_stored(store: S3ObjectStore, folder: str, tmp_path: Path) -> None:
    assert store.put_bytes(f"{folder}b", b"{}", media_type="application/json") == sha256(b"{}")
    store.put_file(f"{folder}empty", write(tmp_path / "e", b""), sha256=sha256(b""), media_type="text/plain")
    assert store.head(f"{folder}empty").size == 0
    assert store.get_file(f"{folder}empty", tmp_path / "copy", sha256=sha256(b"")) == sha256(b"")


def test_a_missing_key_is_object_not_found(store: S3ObjectStore, folder: str, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="nothing"):
        store.head(f"{folder}none")
    with pytest.raises(ObjectNotFoundError):
        store.get_range(f"{folder}none", 0, 1)
    with pytest.raises(ObjectNotFoundError):
        store.get_file(f"{folder}none", tmp_path / "copy", sha256=None)
    assert list(tmp_path.iterdir()) == []
    store.delete(f"{folder}none")


@pytest.mark.parametrize("size", [1000, 11 * MIB], ids=["single", "multipart"])
def test_the_same_content_twice_is_fine_and_other_content_is_refused(
    store: S3ObjectStore, folder: str, tmp_path: Path, size: int
) -> None:
    data, other = pattern(size), pattern(size)[::-1]
    for _ in range(2):
        store.put_file(f"{folder}a", write(tmp_path / "f", data), sha256=sha256(data), media_type="x/y")
    with pytest.raises(ObjectConflictError, match="other content"):
        store.put_file(f"{folder}a", write(tmp_path / "f", other), sha256=sha256(other), media_type="x/y")
    assert store.get_file(f"{folder}a", tmp_path / "copy", sha256=sha256(data)) == sha256(data)


@pytest.mark.parametrize("size", [1000, 11 * MIB], ids=["single", "multipart"])
def test_a_file_that_is_not_what_it_claims_is_not_stored(
    store: S3ObjectStore, folder: str, tmp_path: Path, size: int
) -> None:
    source = write(tmp_path / "f", pattern(size))
    with pytest.raises(ObjectCorruptError):
        store.put_file(f"{folder}a", source, sha256=sha256(b"something else"), media_type="x/y")
    assert list(store.list_keys(folder)) == []


def test_multipart_leaves_no_unfinished_upload(store: S3ObjectStore, folder: str, tmp_path: Path) -> None:
    data = pattern(11 * MIB + 5)
    source = write(tmp_path / "f", data)
    store.put_file(f"{folder}a", source, sha256=sha256(data), media_type="x/y")
    with pytest.raises(ObjectCorruptError):
        store.put_file(f"{folder}b", source, sha256=sha256(b"no"), media_type="x/y")
    uploads = store._client.list_multipart_uploads(Bucket=store._bucket, Prefix=folder).get("Uploads", [])
    assert uploads == []
    assert store.head(f"{folder}a").size == 11 * MIB + 5
    assert store.get_file(f"{folder}a", tmp_path / "copy", sha256=sha256(data)) == sha256(data)


def test_of_twenty_writers_of_one_key_exactly_one_wins(store: S3ObjectStore, folder: str) -> None:
    def create(index: int) -> bool:
        try:
            store.put_bytes(f"{folder}race", b"writer %d" % index, media_type="text/plain")
        except ObjectConflictError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(create, range(20)))
    assert won.count(True) == 1
    assert store.get_range(f"{folder}race", 0, 100) == b"writer %d" % won.index(True)


def test_a_fetched_file_with_another_hash_never_appears(
    store: S3ObjectStore, folder: str, tmp_path: Path
) -> None:
    store.put_bytes(f"{folder}a", b"what is stored", media_type="text/plain")
    with pytest.raises(ObjectCorruptError, match="expected"):
        store.get_file(f"{folder}a", tmp_path / "copy", sha256=sha256(b"what is expected"))
    assert list(tmp_path.iterdir()) == []


def test_a_presigned_get_downloads_one_key_as_an_attachment(store: S3ObjectStore, folder: str) -> None:
    store.put_bytes(f"{folder}a", b"0123456789", media_type="text/plain")
    store.put_bytes(f"{folder}b", b"not this one", media_type="text/plain")
    url = store.presign_get(f"{folder}a", filename='b"ö\n.png', media_type="image/png")

    whole = httpx.get(url)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["content-disposition"].startswith("attachment")
    part = httpx.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert httpx.get(url.replace(f"{folder}a", f"{folder}b")).status_code == 403
    assert httpx.get(url.split("?")[0]).status_code == 403


def test_a_presigned_get_expires(store: S3ObjectStore, folder: str) -> None:
    store.put_bytes(f"{folder}a", b"x", media_type="text/plain")
    url = store.presign_get(f"{folder}a", filename="a", media_type="text/plain", expires_seconds=3)
    assert httpx.get(url).status_code == 200
    time.sleep(4.1)
    assert httpx.get(url).status_code == 403


def test_a_presigned_post_takes_one_key_type_and_size(store: S3ObjectStore) -> None:
    dataset_id = uuid4()
    key = keys.upload_key(dataset_id, uuid4())
    form = store.presign_post(key, media_type="application/zip", max_bytes=10, expires_seconds=60)

    def post(data: bytes, **changed: str) -> int:
        fields = {**form.fields, **changed}
        return httpx.post(form.url, data=fields, files={"file": ("a.zip", data)}).status_code

    assert post(b"x" * 11) == 400
    assert post(b"") == 400
    assert post(b"x", key=f"{key}x") == 403
    assert post(b"x", **{"Content-Type": "text/html"}) == 403
    assert list(store.list_keys(keys.upload_prefix(dataset_id))) == []
    assert post(b"0123456789") == 204
    assert store.head(key).size == 10
    assert store.head(key).sha256 is None
    assert store.delete_prefix(keys.upload_prefix(dataset_id)) == 1


def test_a_presigned_post_expires(store: S3ObjectStore, folder: str) -> None:
    form = store.presign_post(f"{folder}a", media_type=None, max_bytes=10, expires_seconds=1)
    time.sleep(2.1)
    response = httpx.post(form.url, data=form.fields, files={"file": ("a", b"x")})
    assert response.status_code == 403
    with pytest.raises(ObjectNotFoundError):
        store.head(f"{folder}a")


def test_more_than_a_thousand_objects_are_listed_and_deleted(store: S3ObjectStore, folder: str) -> None:
    names = [f"{folder}{index:04}" for index in range(1001)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put_bytes(key, b"x", media_type="text/plain"), names))
    assert [info.key for info in store.list_keys(folder)] == names
    assert store.delete_prefix(folder) == 1001
    assert list(store.list_keys(folder)) == []


def test_deleting_one_folder_leaves_its_neighbours(store: S3ObjectStore, folder: str) -> None:
    store.put_bytes(f"{folder}f1/a", b"x", media_type="text/plain")
    store.put_bytes(f"{folder}f11/a", b"x", media_type="text/plain")
    assert store.delete_prefix(f"{folder}f1/") == 1
    assert [info.key for info in store.list_keys(folder)] == [f"{folder}f11/a"]
    with pytest.raises(ValueError, match="Refusing"):
        store.delete_prefix("jobs/")


def test_ping_and_ensure_bucket(store: S3ObjectStore) -> None:
    store.ping()
    store.ensure_bucket()
    store.ping()


def test_an_impossible_range_is_refused_by_name(store: S3ObjectStore, folder: str) -> None:
    store.put_bytes(f"{folder}a", b"x", media_type="text/plain")
    with pytest.raises(StorageError, match="416"):
        store.get_range(f"{folder}a", 5, 1)
    with pytest.raises(ValueError, match="at least one byte"):
        store.get_range(f"{folder}a", 0, 0)
