"""What a run said on its way and a model card repeats: where it computed, what was chosen, what went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ml.hooks import Hooks

_ENVIRONMENT = ("device", "devices", "precision", "threads")
_CHOICES = frozenset({"recipe_chosen", "snapshot_chosen", "early_stop"})


@dataclass
class CardNotes:
    """Collects from a run's events; give `take` each of them, or train with `listening`.

    Attributes:
        environment: device and how many of them, precision, and threads of each.
        choices: decisions of the run itself, such as the recipe that `auto` took, each with its data.
        interventions: warnings, rollbacks and resets by the health checks, of this process's part of the run.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    interventions: list[dict[str, Any]] = field(default_factory=list)

    def take(self, event_type: str, data: Mapping[str, object]) -> None:
        """Note one event of the run."""
        self.environment |= {name: data[name] for name in _ENVIRONMENT if name in data}
        if event_type in _CHOICES:
            self.choices[event_type] = {name: value for name, value in data.items() if name != "config"}
        if event_type.startswith("health_"):
            told = {name: data[name] for name in ("code", "message", "images_seen") if name in data}
            self.interventions.append({"action": event_type.removeprefix("health_"), **told})

    def listening(self, hooks: Hooks) -> Hooks:
        """The same hooks, with every event noted on its way."""

        def on_event(event_type: str, data: Mapping[str, object]) -> None:
            self.take(event_type, data)
            hooks.on_event(event_type, data)

        return replace(hooks, on_event=on_event)
