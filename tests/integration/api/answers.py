"""How tests read answers."""

from typing import Any


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return the problem document of an answer with this status."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    return body


def field_problems(response: Any, status: int = 422) -> set[tuple[str, str]]:
    """Return (pointer, code) of everything that is wrong with a request."""
    return {(error["pointer"], error["code"]) for error in problem(response, status)["errors"]}


def body(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    content: dict[str, Any] = response.json()
    return content
