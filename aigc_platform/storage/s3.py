"""The object store on any S3-compatible server (tried against SeaweedFS)."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError
from django.utils.http import content_disposition_header

from aigc_platform.storage.exceptions import (
    ObjectConflictError,
    ObjectCorruptError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from aigc_platform.storage.interface import ObjectInfo, PresignedPost, S3Config
from aigc_platform.storage.keys import is_deletable_prefix

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_MIB = 1024 * 1024
_MULTIPART_THRESHOLD_BYTES = 64 * _MIB
_PART_BYTES = 16 * _MIB
_MAX_PARTS = 10_000  # The S3 protocol's limit.
_CHUNK_BYTES = _MIB
_CREATE_ATTEMPTS = 5
_STREAM_ATTEMPTS = 5

_UNREACHABLE = (BotoConnectionError, HTTPClientError, IncompleteReadError)

# Checksums are asked for by name in each call: the SDK's own trailing CRC32 is refused by some servers.
_CLIENT_OPTIONS: dict[str, Any] = {
    "signature_version": "s3v4",
    "s3": {"addressing_style": "path"},
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


class S3ObjectStore:
    """`ObjectStore` by boto3: create-only writes, SHA-256 sent with every write and checked on every read."""

    def __init__(
        self,
        config: S3Config,
        *,
        multipart_threshold_bytes: int = _MULTIPART_THRESHOLD_BYTES,
        part_bytes: int = _PART_BYTES,
    ) -> None:
        self._bucket = config.bucket
        self._multipart_threshold_bytes = multipart_threshold_bytes
        self._part_bytes = part_bytes
        self._client = _client(config, config.endpoint_url)
        self._presigner = _client(config, config.public_endpoint_url)
        # Health checks must answer soon, whatever the store does.
        self._prober = _client(config, config.endpoint_url, attempts=1, connect_seconds=2, read_seconds=2)

    def put_file(
        self, key: str, path: Path, *, sha256: str, media_type: str, filename: str | None = None
    ) -> None:
        headers = _object_headers(sha256=sha256, media_type=media_type, filename=filename)
        with path.open("rb") as body, _storage_errors(key):
            if path.stat().st_size > self._multipart_threshold_bytes:
                self._put_multipart(key, body, path.stat().st_size, sha256, headers)
            else:
                self._put_single(key, body, sha256, headers)

    def put_bytes(self, key: str, data: bytes, *, media_type: str, filename: str | None = None) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        with _storage_errors(key):
            headers = _object_headers(sha256=sha256, media_type=media_type, filename=filename)
            self._put_single(key, data, sha256, headers)
        return sha256

    def get_file(self, key: str, path: Path, *, sha256: str | None) -> str:
        partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            with partial.open("xb") as target, _storage_errors(key):
                digest = self._download(key, target)
            if sha256 is not None and digest != sha256:
                raise ObjectCorruptError(f"Object {key} has SHA-256 {digest}, expected {sha256}.")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def get_range(self, key: str, start: int, length: int) -> bytes:
        if start < 0 or length < 1:
            raise ValueError("A range starts at 0 or later and is at least one byte long.")
        with _storage_errors(key):
            response = self._client.get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + length - 1}"
            )
            return response["Body"].read()

    def head(self, key: str) -> ObjectInfo:
        with _storage_errors(key):
            response = self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectInfo(
            key=key,
            size=response["ContentLength"],
            modified_at=response["LastModified"],
            sha256=response["Metadata"].get("sha256"),
            media_type=response.get("ContentType"),
        )

    def presign_get(self, key: str, *, filename: str, media_type: str, expires_seconds: int = 900) -> str:
        return self._presigner.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": _attachment(filename),
                "ResponseContentType": media_type,
            },
            ExpiresIn=expires_seconds,
        )

    def presign_post(
        self, key: str, *, media_type: str | None, max_bytes: int, expires_seconds: int
    ) -> PresignedPost:
        fields = {} if media_type is None else {"Content-Type": media_type}
        conditions: list[Any] = [["content-length-range", 1, max_bytes]]
        conditions += [{name: value} for name, value in fields.items()]
        form = self._presigner.generate_presigned_post(
            self._bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=expires_seconds
        )
        return PresignedPost(url=form["url"], fields=dict(form["fields"]))

    def list_keys(self, prefix: str) -> Iterator[ObjectInfo]:
        for page in self._pages(prefix):
            yield from page

    def delete(self, key: str) -> None:
        with _storage_errors(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        if not is_deletable_prefix(prefix):
            raise ValueError(f"Refusing to delete everything below {prefix!r}.")
        count = 0
        for page in self._pages(prefix):
            with _storage_errors(prefix):
                response = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": info.key} for info in page], "Quiet": True},
                )
            if refused := response.get("Errors"):
                raise StorageError(f"The object store kept {len(refused)} objects below {prefix}.")
            count += len(page)
        return count

    def abort_stale_uploads(self, older_than: timedelta) -> int:
        oldest, aborted = datetime.now(UTC) - older_than, 0
        with _storage_errors(self._bucket):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket):
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < oldest:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        aborted += 1
        return aborted

    def ping(self) -> None:
        with _storage_errors(self._bucket):
            self._prober.head_bucket(Bucket=self._bucket)

    def ensure_bucket(self) -> None:
        try:
            self.ping()
        except ObjectNotFoundError:
            # Several processes may start at once; whoever loses finds the bucket made.
            with suppress(self._client.exceptions.BucketAlreadyOwnedByYou), _storage_errors(self._bucket):
                self._client.create_bucket(Bucket=self._bucket)

    def _put_single(self, key: str, body: BinaryIO | bytes, sha256: str, headers: dict[str, Any]) -> None:
        def put() -> None:
            if not isinstance(body, bytes):
                body.seek(0)
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ChecksumSHA256=_base64_of_hex(sha256),
                IfNoneMatch="*",
                **headers,
            )

        self._create(put, key, sha256)

    def _put_multipart(
        self, key: str, body: BinaryIO, size: int, sha256: str, headers: dict[str, Any]
    ) -> None:
        upload_id = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256", **headers
        )["UploadId"]
        try:
            parts = self._upload_parts(key, upload_id, body, size, sha256)
            self._create(lambda: self._complete(key, upload_id, parts), key, sha256)
        finally:
            # After a success the upload is gone; after a lost race or an error its parts must go.
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)

    def _upload_parts(self, key: str, upload_id: str, body: BinaryIO, size: int, sha256: str) -> list[Any]:
        part_bytes = max(self._part_bytes, -(-size // _MAX_PARTS))
        whole = hashlib.sha256()
        parts: list[Any] = []
        while data := body.read(part_bytes):
            whole.update(data)
            checksum = _base64_of_hex(hashlib.sha256(data).hexdigest())
            number = len(parts) + 1
            response = self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ChecksumSHA256=checksum,
            )
            parts.append({"PartNumber": number, "ETag": response["ETag"], "ChecksumSHA256": checksum})
        # The server checks each part; that the parts make the declared whole is for us to check.
        if whole.hexdigest() != sha256:
            raise ObjectCorruptError(f"The file for {key} has SHA-256 {whole.hexdigest()}, not {sha256}.")
        return parts

    def _complete(self, key: str, upload_id: str, parts: list[Any]) -> None:
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
        )

    def _create(self, write: Callable[[], None], key: str, sha256: str) -> None:
        """Run a create-only write. It may have happened already: by an earlier try whose answer was lost."""
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                write()
            except ClientError as error:
                if _status(error) == 412 or _code(error) == "NoSuchUpload":
                    self._accept_existing(key, sha256)
                elif _status(error) == 409 and attempt + 1 < _CREATE_ATTEMPTS:
                    # S3 answers 409 while another write to the same key is in flight.
                    time.sleep(0.1 * 2**attempt)
                    continue
                else:
                    raise
            return

    def _accept_existing(self, key: str, sha256: str) -> None:
        if self.head(key).sha256 != sha256:
            raise ObjectConflictError(f"Object {key} already exists with other content.")

    def _download(self, key: str, target: BinaryIO) -> str:
        """Stream an object, going on where a broken connection stopped; return its SHA-256."""
        digest = hashlib.sha256()
        received, etag = 0, ""
        for attempt in range(_STREAM_ATTEMPTS):
            resume: dict[str, Any] = {"Range": f"bytes={received}-", "IfMatch": etag} if received else {}
            try:
                response = self._client.get_object(Bucket=self._bucket, Key=key, **resume)
                etag = response["ETag"]
                for chunk in response["Body"].iter_chunks(_CHUNK_BYTES):
                    target.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            except _UNREACHABLE:
                if attempt + 1 == _STREAM_ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**attempt)
            else:
                break
        return digest.hexdigest()

    def _pages(self, prefix: str) -> Iterator[list[ObjectInfo]]:
        with _storage_errors(prefix):
            paginator = self._client.get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=self._bucket, Prefix=prefix):
                if contents := page.get("Contents"):
                    yield [
                        ObjectInfo(key=item["Key"], size=item["Size"], modified_at=item["LastModified"])
                        for item in contents
                    ]


def _client(
    config: S3Config,
    endpoint_url: str,
    *,
    attempts: int = 4,
    connect_seconds: float = 5,
    read_seconds: float = 60,
) -> "S3Client":
    # A session of our own: boto3's default session is not safe between threads while clients are made.
    return Session().client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        region_name=config.region,
        config=Config(
            **_CLIENT_OPTIONS,
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            max_pool_connections=32,
        ),
    )


def _object_headers(*, sha256: str, media_type: str, filename: str | None) -> dict[str, Any]:
    headers: dict[str, Any] = {"ContentType": media_type, "Metadata": {"sha256": sha256}}
    if filename is not None:
        headers["ContentDisposition"] = _attachment(filename)
    return headers


def _attachment(filename: str) -> str:
    printable = "".join(character if character.isprintable() else "_" for character in filename)
    return content_disposition_header(as_attachment=True, filename=printable) or "attachment"


def _base64_of_hex(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode("ascii")


@contextmanager
def _storage_errors(key: str) -> Iterator[None]:
    """Turn every botocore error into one of ours."""
    try:
        yield
    except ClientError as error:
        raise _from_client_error(error, key) from error
    except _UNREACHABLE as error:
        raise StorageUnavailableError from error
    except BotoCoreError as error:
        raise StorageError(f"The request to the object store could not be made: {error}") from error


def _from_client_error(error: ClientError, key: str) -> StorageError:
    status = _status(error)
    if status == 404:
        return ObjectNotFoundError(f"The object store holds nothing under {key}.")
    if _code(error) == "BadDigest" or _code(error) == "XAmzContentChecksumMismatch":
        return ObjectCorruptError(f"The bytes sent for {key} do not have the declared SHA-256.")
    if status >= 500 or status == 429 or _code(error) in {"SlowDown", "RequestTimeout"}:
        return StorageUnavailableError()
    return StorageError(
        f"The object store refused {error.operation_name} of {key}: {_code(error)} ({status})."
    )


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
