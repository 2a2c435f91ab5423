"""What every operation of the OpenAPI document has in common: its error answers."""

from typing import Any

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "instance", "code", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong and what to do."},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "Stable name of the problem; branch on it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body; `?name` for a query parameter.",
                    },
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
}
_ALWAYS = {
    "401": "No token, or one that is unknown, revoked or expired.",
    "403": "The token lacks the scope.",
}
_WITH_ID = {"404": "There is no such thing, or it is not yours."}
_WITH_BODY = {
    "400": "The body is not JSON.",
    "413": "The body is too large.",
    "415": "The body is not declared as JSON.",
    "422": "The body is JSON, but not valid; see `errors`.",
}
_OTHER = {"default": "Anything else, for example 409 for a conflict or 503 while a part is down."}


def add_problem_responses(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the problem document to every operation (drf-spectacular postprocessing hook)."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    for path, methods in result["paths"].items():
        for operation in methods.values():
            if isinstance(operation, dict) and "responses" in operation:
                _add(operation, path)
    return result


def _add(operation: dict[str, Any], path: str) -> None:
    described = {**_ALWAYS, **_OTHER}
    if "{" in path:
        described |= _WITH_ID
    if "requestBody" in operation:
        described |= _WITH_BODY
    elif any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        described["422"] = "A query parameter is not valid; see `errors`."
    for status, description in described.items():
        operation["responses"].setdefault(
            status,
            {
                "description": description,
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
