"""A training's figures in the operator's MLflow, if the worker names one: never at the training's cost."""

import logging
from urllib.parse import urlsplit

from ml.catalog import RecipeConfig
from ml.errors import MlError
from ml.tracking.mlflow import MlflowTracker
from ml.tracking.tracker import Tracker
from workers.runner.job import Job

log = logging.getLogger(__name__)

_NOT_TRACKED = "tracking.unavailable"


def trackers_of(job: Job, recipe: str, config: RecipeConfig, tracking_uri: str | None) -> list[Tracker]:
    """Return what follows the run: an MLflow run named after the job, or nothing.

    Why there is none, or no more of it, becomes an event for the job's owner; what MLflow itself said is the
    operator's and goes to the log, without credentials.
    """
    if tracking_uri is None:
        return []

    def tell(message: str) -> None:
        log.warning("%s", without_credentials(message, tracking_uri))
        said = {
            "code": _NOT_TRACKED,
            "message": "MLflow does not take the figures of this training (any more).",
        }
        job.event("training.tracking_failed", said)

    try:
        return [
            MlflowTracker(
                tracking_uri, recipe=recipe, config=config.model_dump(mode="json"), name=job.id, tell=tell
            )
        ]
    except MlError as error:
        tell(error.message)
        return []


def without_credentials(text: str, address: str) -> str:
    """Return the text without the user name and password that the address holds."""
    place = urlsplit(address).netloc
    credentials, _, _ = place.rpartition("@")
    for secret in filter(None, (credentials, *credentials.split(":", 1)[1:])):
        text = text.replace(secret, "[redacted]")
    return text
