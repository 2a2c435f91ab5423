"""The checked-in OpenAPI document is what the code serves."""

import difflib
from pathlib import Path

from tests.openapi import as_yaml, openapi_document

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.yaml"


def test_the_document_is_up_to_date() -> None:
    made = as_yaml(openapi_document())
    kept = DOCUMENT.read_text("utf-8")
    changes = difflib.unified_diff(
        kept.splitlines(), made.splitlines(), "checked in", "code", lineterm="", n=1
    )
    assert kept == made, "run `make schema` and commit the result:\n" + "\n".join(list(changes)[:60])


def test_every_operation_says_how_it_fails_and_needs_a_token() -> None:
    paths = openapi_document()["paths"]
    assert len(paths) > 30
    for path, methods in paths.items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["security"] == [{"token": []}], where
            assert {"401", "403", "default"} <= operation["responses"].keys(), where
            assert ("404" in operation["responses"]) == ("{" in path), where
            assert operation["description"], where
            if "requestBody" in operation:
                assert {"400", "413", "415", "422"} <= operation["responses"].keys(), where
