"""What an import job is asked to do."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict


class BuiltinSource(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    builtin: str


class Upload(BaseModel):
    """The archive as its uploader declared it; the worker refuses other bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: str
    sha256: str
    size: int


class UploadSource(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    upload: Upload


class DatasetImportSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: UUID
    name: str
    source: BuiltinSource | UploadSource
    image_px: int | None = None
    require_labels: bool = False
