"""The OpenAPI document as the code makes it."""

from functools import cache
from typing import Any

from drf_spectacular import generators, renderers, validation


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document, checked against OpenAPI's own schema; making it takes seconds, so it is made once."""
    document: dict[str, Any] = generators.SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # the library has no types
    validation.validate_schema(document)  # type: ignore[no-untyped-call]  # the same
    return document


def as_yaml(document: dict[str, Any]) -> str:
    """Return the document as `make schema` writes it."""
    rendered: bytes = renderers.OpenApiYamlRenderer().render(document, renderer_context={})  # type: ignore[no-untyped-call]  # the same
    return rendered.decode()
