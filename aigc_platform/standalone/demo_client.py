"""What the demo does as a client of the API: plain HTTP, nothing of the platform imported."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

_POLL_SECONDS = 0.5
_JOB_ENDS = frozenset({"succeeded", "failed", "canceled", "expired"})


class DemoError(Exception):
    """A step of the demo failed; the message says which and why."""


class DemoClient:
    """The calls of the demo, each of which returns checked data or raises `DemoError`."""

    def __init__(self, api_url: str, token: str) -> None:
        self._api = httpx.Client(
            base_url=api_url.rstrip("/") + "/", headers={"Authorization": f"Token {token}"}, timeout=30
        )
        # Links to the store carry their own permission and must work without ours.
        self._store = httpx.Client(timeout=60)

    def close(self) -> None:
        self._api.close()
        self._store.close()

    def ready_dataset(self, builtin: str, *, seconds: float) -> dict[str, Any]:
        """Return a built-in data set, created now unless an earlier run left it."""
        dataset = self._known_dataset(builtin) or self._call(
            "POST", "datasets", json={"name": builtin, "builtin": builtin}
        )
        deadline = time.monotonic() + seconds
        while dataset["status"] != "ready":
            if dataset["status"] == "rejected":
                why = dataset["errors"] or _reason(self._call("GET", f"jobs/{dataset['job']}"))
                raise DemoError(f"The data set {builtin} was rejected: {why}")
            _still_in_time(deadline, f"The data set {builtin} was not ready in {seconds:g} s")
            time.sleep(_POLL_SECONDS)
            dataset = self._call("GET", f"datasets/{dataset['id']}")
        return dataset

    def cancel_unfinished(self) -> None:
        """Cancel what an interrupted run left behind, so that nothing stands before this run's jobs."""
        for job in self._pages("jobs"):
            if job["status"] not in _JOB_ENDS:
                self._call("POST", job["urls"]["cancel"])

    def submit(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a job (`trainings` or `generations`) and return it."""
        return self._call("POST", kind, json=dict(body))

    def finished(
        self,
        kind: str,
        job: Mapping[str, Any],
        *,
        stall_seconds: float,
        watch: Callable[[Mapping[str, Any]], None],
    ) -> dict[str, Any]:
        """Poll a job until it succeeds; `watch` sees it on the way.

        A slow machine may take as long as it likes, a machine on which nothing moves for `stall_seconds` may not.
        """
        seen: object = None
        while True:
            current = self._call("GET", f"{kind}/{job['id']}")
            watch(current)
            if current["status"] in _JOB_ENDS:
                break
            if seen != (now := (current["status"], (current.get("progress") or {}).get("current"))):
                seen, deadline = now, time.monotonic() + stall_seconds
            _still_in_time(deadline, f"The job {job['id']} did not move for {stall_seconds:g} s")
            time.sleep(_POLL_SECONDS)
        if current["status"] != "succeeded":
            raise DemoError(f"The job {job['id']} is {current['status']}: {_reason(current)}")
        return current

    def latest_version(self, model: str) -> dict[str, Any]:
        """Return the newest version of a model."""
        versions = list(self._pages(f"models/{model}/versions"))
        if not versions:
            raise DemoError(f"The training left no version of the model {model}")
        number = max(version["number"] for version in versions)
        return self._call("GET", f"models/{model}/versions/{number}")

    def artifacts(self, kind: str, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all artifacts of a job."""
        return list(self._pages(f"{kind}/{job['id']}/artifacts"))

    def download(self, artifact: Mapping[str, Any], path: Path) -> None:
        """Fetch an artifact from the store and check its length and SHA-256."""
        try:
            answer = self._store.get(artifact["url"])
        except httpx.HTTPError as error:
            raise DemoError(f"The store did not hand out {artifact['filename']}: {error}") from error
        if answer.status_code != httpx.codes.OK:
            raise DemoError(f"The store answered {answer.status_code} for {artifact['filename']}")
        sha256 = hashlib.sha256(answer.content).hexdigest()
        if sha256 != artifact["sha256"] or len(answer.content) != artifact["size"]:
            raise DemoError(f"{artifact['filename']} arrived damaged: its SHA-256 is {sha256}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.content)

    def _known_dataset(self, builtin: str) -> dict[str, Any] | None:
        usable = (
            dataset
            for dataset in self._pages("datasets")
            if dataset["name"] == builtin and dataset["status"] != "rejected"
        )
        return next(usable, None)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        next_page: str | None = path
        while next_page:
            page = self._call("GET", next_page)
            yield from page["results"]
            next_page = page["next"]

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._api.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {path} got no answer: {error}") from error
        try:
            content: dict[str, Any] = answer.json()
        except ValueError:
            content = {}
        if not answer.is_success:
            fields = "".join(f" {item['pointer']}: {item['message']}" for item in content.get("errors") or ())
            raise DemoError(
                f"{method} {path} answered {answer.status_code}: {content.get('detail', '')}{fields}"
            )
        return content


def _reason(job: Mapping[str, Any]) -> str:
    """Return why a job did not succeed, in a person's words where it has some."""
    error = job.get("error") or {}
    return str(error.get("message") or error.get("detail") or job.get("status_reason") or "no reason given")


def _still_in_time(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise DemoError(complaint)
