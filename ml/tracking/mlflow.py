"""A run in MLflow: settings as parameters, figures as metrics, sheets and the result as artifacts.

MLflow is not among this package's dependencies: install the extra `mlflow`. Nothing here reads the environment;
the tracking server is named by whoever starts the run.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml.errors import MlError
from ml.hooks import Progress, TrainingResult

DEFAULT_EXPERIMENT = "aigc"
_LONGEST_PARAMETER = 500


class MlflowTracker:
    """Follows a run in MLflow; the step is images seen.

    A server that does not answer costs figures, never the training: the first failure is told, and no more is sent.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        recipe: str,
        config: Mapping[str, object],
        experiment: str = DEFAULT_EXPERIMENT,
        name: str | None = None,
        tell: Callable[[str], None] = warnings.warn,
    ) -> None:
        """Begin a run in MLflow.

        Args:
            tracking_uri: of the server, or of a local store.
            recipe: becomes a parameter, as each setting in `config` does.
            config: settings of the run.
            experiment: made if there is none of this name.
            name: of the run; MLflow invents one without it.
            tell: is told, once, when MLflow fails.

        Raises:
            MlError: MLflow is not installed, or the server cannot be used.
        """
        self._tell = tell
        make_client = _client_type()
        try:
            self._client = make_client(tracking_uri=tracking_uri)
            found = self._client.get_experiment_by_name(experiment)
            experiment_id = found.experiment_id if found else self._client.create_experiment(experiment)
            self.run_id: str = self._client.create_run(experiment_id, run_name=name).info.run_id
            for key, value in {"recipe": recipe, **config}.items():
                self._client.log_param(self.run_id, key, str(value)[:_LONGEST_PARAMETER])
        except Exception as error:
            raise MlError(
                "mlflow.unreachable", f"MLflow at {tracking_uri} cannot be used: {error}"
            ) from error
        self._works = True

    def on_progress(self, progress: Progress) -> None:
        figures = {**progress.metrics, "images_per_second": progress.images_per_second}

        def send() -> None:
            for name, value in figures.items():
                self._client.log_metric(self.run_id, name, value, step=progress.images_seen)

        self._try(send)

    def on_grid(self, path: Path, images_seen: int) -> None:
        del images_seen
        self._try(lambda: self._client.log_artifact(self.run_id, str(path), "samples"))

    def close(self, result: TrainingResult | None) -> None:
        """End the run in MLflow: finished, killed where it was stopped, failed without a result."""
        status = "FAILED" if result is None else {"finished": "FINISHED"}.get(result.status, "KILLED")

        def send() -> None:
            if result is not None and result.snapshot is not None:
                self._client.log_artifacts(self.run_id, str(result.snapshot), "snapshot")
            self._client.set_terminated(self.run_id, status)

        self._try(send)

    def _try(self, send: Callable[[], None]) -> None:
        if not self._works:
            return
        try:
            send()
        except Exception as error:  # noqa: BLE001 - whatever the server or its client throws, training goes on
            self._works = False
            self._tell(f"MLflow takes no more figures of this run: {error}")


def _client_type() -> Any:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MlError(
            "mlflow.missing",
            "MLflow is not installed. Install the extra: pip install 'aigc-platform[mlflow]'.",
        ) from None
    return MlflowClient
