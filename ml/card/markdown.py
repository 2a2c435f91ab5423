"""The model card as Markdown. Names of classes and data sets are users' words, so everything is escaped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PICTURE_FILENAME = "model_card.png"
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$^]|:(?=//)|(?<=www)\.|@|^[-+]|(?<=^\d)[.)]|(?<=^\d\d)[.)])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LONGEST = 2000
FIGURE_NAMES: Mapping[str, str] = {
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "Kernel distance",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "nearest_training_ratio": "Nearest training image, ratio",
    "nearest_training_copies": "Copies of training images",
    "rarest_class": "Rarest class, share of its due",
    "label_accuracy": "Made as asked",
}
GOOD_ENDS: Mapping[str, str] = {"lower": "low", "higher": "high", "half": "0.5", "one": "1"}


def escape(text: object) -> str:
    """Make any text plain in Markdown and HTML: one line, no markup, bounded."""
    flat = _CONTROL.sub(" ", str(text))[:_LONGEST]
    safe = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe).strip()


def number(value: float | None) -> str:
    """Four significant digits; a dash for nothing."""
    return "–" if value is None else f"{value:.4g}"


def render(card: Mapping[str, Any]) -> str:
    """Write a card, as `ml.card.document` makes it, as Markdown."""
    parts = (
        _head(card),
        _section("Limits", [f"- {escape(limit)}" for limit in card["limits"]]),
        _section("Figures", _figures(card["figures"])),
        _section("Classes", _classes(card)),
        _section("Nearest training images", _neighbours(card["neighbours"])),
        _section("Data", _data(card["dataset"])),
        _section("Training", _training(card)),
        _section("Settings", _table(("setting", "value"), _settings(card["config"]))),
        _section("Licence", _licence(card["licence"])),
        _section("Where it comes from", _lineage(card)),
    )
    return "\n".join(part for part in parts if part)


def _head(card: Mapping[str, Any]) -> str:
    recipe, training = card["recipe"], card["training"]
    return (
        f"# {escape(card['title'])}\n\n"
        f"{escape(recipe['summary'])}\n\n"
        f"Method: {escape(recipe['title'])} (`{recipe['name']}`), {escape(recipe['paper'])}\n\n"
        f"Trained on {training['images_seen']:,} images shown. Everything it makes is AI-made.\n\n"
        f"![Samples, curves, figures and nearest training images]({PICTURE_FILENAME})\n"
    )


def _section(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f"## {title}\n\n{body}\n" if body else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines] if lines else []


def _figures(figures: Mapping[str, Any]) -> list[str]:
    if not figures["measured"]:
        return [f"Not measured. {escape(figures['reason']['message'])}"]
    extractor, split = figures["extractor"], figures["split"]
    rows = [
        (
            FIGURE_NAMES.get(name, name),
            number(figure["value"]),
            number(figure["floor"]),
            GOOD_ENDS[figure["better"]],
        )
        for name, figure in figures["values"].items()
    ]
    return [
        *_table(("figure", "samples", "floor", "good"), rows),
        "",
        (
            f"n = {figures['n']:,} on each side, seed {figures['seed']}. The floor is the same computation with real "
            "training images in the samples' place: what a perfect generator would get here."
        ),
        "",
        (
            f"Features: {escape(extractor['name'])} `{extractor['sha256'][:12]}`, because "
            f"{escape(extractor['reason'])}. Split: {split['train']:,} images for training, "
            f"{split['test']:,} held out ({escape(split['method'])})."
        ),
        *(f"\n{escape(warning)}" for warning in figures["warnings"]),
        *(
            f"\nNot measured here: {escape(', '.join(left_out['figures']))}: {escape(left_out['reason'])}."
            for left_out in figures["skipped"]
        ),
    ]


def _classes(card: Mapping[str, Any]) -> list[str]:
    counts, rows = card["dataset"]["class_counts"], card["figures"].get("classes") or []
    if rows:
        return _table(
            ("class", "images", "made", "expected", "made as asked"),
            (
                (
                    escape(row["name"]),
                    f"{counts.get(row['name'], 0):,}",
                    f"{row['count']:,}",
                    f"{row['expected']:,.0f}",
                    "–" if row["accuracy"] is None else f"{row['accuracy']:.0%}",
                )
                for row in rows
            ),
        )
    return _table(("class", "images"), ((escape(name), f"{count:,}") for name, count in counts.items()))


def _neighbours(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    rows = [
        (f"{pair['sample']:,}", f"{pair['training']:,}", number(pair["distance"]), number(pair["ratio"]))
        for pair in found["pairs"]
    ]
    return [
        (
            f"The {len(rows)} nearest of {found['looked_at']:,} samples (seed {found['seed']}), among "
            f"{found['searched']:,} of {found['training_images']:,} training images. A ratio of 1 is as near as "
            "held-out images come, near 0 is a copy."
        ),
        "",
        *_table(("sample", "training image", "distance", "ratio"), rows),
    ]


def _data(data: Mapping[str, Any]) -> list[str]:
    holdout = data["holdout"]
    held_out = f"{data['held_out']:,} held out" + (f" ({escape(holdout['method'])})" if holdout else "")
    source = [f"{escape(name)}: {escape(value)}" for name, value in data["source"].items()]
    profile = data["profile"]
    copies = profile.get("count", 0) - profile.get("distinct", 0)
    return [
        (
            f"- {escape(data['name'])}: {data['count']:,} images of {data['width']}x{data['height']} px, "
            f"{held_out}"
        ),
        *(f"- {line}" for line in source),
        *([f"- {copies:,} exact copies of others"] if copies else []),
        f"- content SHA-256 `{data['content_sha256']}`",
        *([f"- manifest SHA-256 `{data['manifest_sha256']}`"] if data["manifest_sha256"] else []),
    ]


def _training(card: Mapping[str, Any]) -> list[str]:
    training = card["training"]
    facts = [
        f"{training['images_seen']:,} images shown in {training['seconds']:,.0f} s",
        f"seed {card['seed']}",
    ]
    facts += [
        f"{name} {escape(training[name])}" for name in ("device", "precision", "threads") if name in training
    ]
    told = [
        f"- {escape(found['action'])}: {escape(found.get('message', ''))}"
        for found in training["interventions"]
    ]
    chosen = [f"- {escape(_choice(name, data))}" for name, data in training["choices"].items()]
    rows = [
        (escape(name), *(number(line[key]) for key in ("first", "last", "least", "most")))
        for name, line in card["curves"].items()
    ]
    return [
        ", ".join(facts) + ".",
        *(["", *chosen] if chosen else []),
        *(["", *told] if told else []),
        "",
        *_table(("while training", "first", "last", "least", "most"), rows),
        "",
        "These describe the optimisation; they do not measure quality.",
    ]


def _choice(name: str, data: Mapping[str, Any]) -> str:
    """A decision of the run in words."""
    if name == "snapshot_chosen":
        return (
            f"The published weights are those after {data['images_seen']:,} images: of {data['checks']:,} snapshots "
            f"measured and the last they had the lowest kernel distance to {data['measured_on']} ({data['kid']:.4g})."
        )
    if name == "early_stop":
        return f"It ended before its budget: {data['patience']:,} measurements in a row found nothing better."
    return f"Recipe {data.get('recipe')}: {data.get('reason')}"


def _settings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f"`{name}`", escape(value)) for name, value in sorted(config.items())]


def _licence(licence: Mapping[str, Any]) -> list[str]:
    said = [
        f"- {what}: {'not stated' if licence[what] is None else escape(licence[what])}"
        for what in ("data", "weights")
    ]
    return [*said, *(["", licence["note"]] if licence["note"] else [])]


def _lineage(card: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(
        f"{escape(name)} {escape(value)}" for name, value in sorted(card["versions"].items())
    )
    return [
        f"- weights SHA-256 `{card['snapshot_sha256']}`",
        f"- software: {versions}",
        *(f"- {escape(name)}: {escape(value)}" for name, value in sorted(card["provenance"].items())),
    ]
