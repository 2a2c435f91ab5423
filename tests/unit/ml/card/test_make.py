"""A finished run's card in its three forms: what it says, what it refuses to say, and that it changes nothing."""

import json
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from markdown_it import MarkdownIt
from PIL import Image

from ml.card.document import CardContext
from ml.card.make import CardFiles, make_card
from ml.card.markdown import escape, render
from ml.card.notes import CardNotes
from ml.catalog import RecipeConfig, parse_config
from ml.checkpoint import weights_sha256
from ml.codecs.png import read_provenance
from ml.codecs.provenance import Provenance
from ml.data.builtin import load_builtin
from ml.data.packed import PackedDataset
from ml.evaluate import evaluate_quickly
from ml.hooks import Hooks, TrainingResult
from ml.train import train

MakeConfig = Callable[..., RecipeConfig]
HOSTILE = "<script>alert(1)</script> | `x` [y](http://z.example) **b**"


TINY: dict[str, Any] = {
    "kimg": 0.064,
    "batch_size": 8,
    "latent_size": 8,
    "generator_channels": 4,
    "discriminator_channels": 4,
    "precision": "fp32",
    "grid_seconds": 0.0,
}


def run(
    data: PackedDataset, config: RecipeConfig, out: Path, **card: Any
) -> tuple[TrainingResult, CardFiles]:
    notes = CardNotes()
    result = train(data, config, recipe="dcgan", out=out, hooks=notes.listening(Hooks()))
    return result, make_card(data, result, out=out, notes=notes, **card)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, CardFiles]:
    config = parse_config("dcgan", TINY | {"card_samples": 60, "deterministic": True})
    context = CardContext(
        title="my digits", licence="CC0-1.0", manifest_sha256="ab" * 32, lineage={"job": "job-7"}
    )
    folder, threads = tmp_path_factory.mktemp("digits"), torch.get_num_threads()
    torch.set_num_threads(1)
    made = run(load_builtin("digits"), config, folder, context=context, provenance=Provenance(job="job-7"))
    torch.set_num_threads(threads)
    return made


def test_a_card_has_everything_with_floors(digits_run: tuple[TrainingResult, CardFiles]) -> None:
    result, files = digits_run
    card = json.loads(files.document.read_text())
    assert card == json.loads(json.dumps(files.content))
    assert result.snapshot is not None

    assert (card["format"], card["title"], card["seed"]) == (2, "my digits", 0)
    assert card["recipe"]["paper"].startswith("Radford")
    assert card["config"] == result.config
    assert card["dataset"]["learned_from"] + card["dataset"]["held_out"] == 1797
    assert card["training"]["device"] == "cpu"
    assert card["curves"]["loss_generator"].keys() == {"first", "last", "least", "most"}
    expected = evaluate_quickly(result.snapshot, load_builtin("digits"), n=60).report
    assert card["figures"]["n"] == 60
    for name, figure in card["figures"]["values"].items():
        assert (figure["value"], figure["floor"]) == (
            expected.figure(name).value,
            expected.figure(name).floor,
        )
    assert {"frechet_distance", "coverage", "rarest_class"} <= card["figures"]["values"].keys()
    assert len(card["neighbours"]["pairs"]) == 8
    assert card["neighbours"]["pairs"][0]["ratio"] <= card["neighbours"]["pairs"][7]["ratio"]
    assert card["licence"] == {"data": "CC-BY-4.0", "weights": "CC0-1.0", "note": None}
    assert card["provenance"] == {"job": "job-7"}
    assert card["versions"]["torch"] == torch.__version__


def test_limits_follow_from_what_was_measured(digits_run: tuple[TrainingResult, CardFiles]) -> None:
    """An untrained generator: far from everything, and far from every training image."""
    limits = " ".join(digits_run[1].content["limits"])
    assert "times as far from real images" in limits
    assert "0% of real images" in limits
    assert "It saw each image 0.0 times" in limits
    assert "60 samples were compared with all" in limits


def test_picture_and_text_are_labelled_and_complete(digits_run: tuple[TrainingResult, CardFiles]) -> None:
    files = digits_run[1]
    label = read_provenance(files.picture.read_bytes())
    assert label is not None
    assert label.job == "job-7"
    with Image.open(files.picture) as picture:
        assert picture.size[0] == 1200
        assert picture.mode == "RGB"
    text = files.markdown.read_text()
    for title in ("Limits", "Figures", "Classes", "Nearest training images", "Data", "Settings", "Licence"):
        assert f"\n## {title}\n" in text
    assert "| Fréchet distance |" in text
    assert "Not measured here: two\\_sample\\_accuracy" in text
    assert "(model_card.png)" in text


def test_making_a_card_changes_nothing(digits_run: tuple[TrainingResult, CardFiles], tmp_path: Path) -> None:
    result, data = digits_run[0], load_builtin("digits")
    assert result.snapshot is not None
    assert result.checkpoint is not None
    before = weights_sha256(result.snapshot), weights_sha256(result.checkpoint), torch.get_rng_state()

    cards = [
        make_card(data, result, out=tmp_path / name, notes=CardNotes(), samples=60, history=tmp_path / "none")
        for name in ("a", "b")
    ]

    assert (weights_sha256(result.snapshot), weights_sha256(result.checkpoint)) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert cards[0].picture.read_bytes() == cards[1].picture.read_bytes()


def test_too_few_images_skip_the_figures_and_say_so(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    events: list[tuple[str, Mapping[str, object]]] = []
    _, files = run(
        striped_dataset,
        tiny_config("dcgan"),
        tmp_path,
        on_event=lambda kind, data: events.append((kind, data)),
    )

    [(kind, skipped)] = events
    assert (kind, skipped["code"]) == ("card_figures_skipped", "evaluation.too_few")
    card = files.content
    assert card["figures"] == {"measured": False, "reason": skipped, "values": {}}
    assert any(limit.startswith("Its quality was not measured.") for limit in card["limits"])
    # Few images are the likeliest to be repeated, so the nearest ones are shown all the same.
    assert card["neighbours"]["searched"] == 48
    assert card["neighbours"]["pairs"][0]["ratio"] is None
    assert "Nobody stated a licence of the data" in card["licence"]["note"]


def test_figures_can_be_turned_off(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    unlabelled = PackedDataset.create(name="x", images=striped_dataset.images)
    _, files = run(unlabelled, tiny_config("dcgan", card_samples=0), tmp_path)
    assert files.content["figures"]["reason"]["code"] == "card.off"
    assert files.content["neighbours"] is None
    assert any("It was not checked whether samples repeat" in limit for limit in files.content["limits"])
    assert files.picture.is_file()


def test_the_runs_own_choices_are_told(digits_run: tuple[TrainingResult, CardFiles]) -> None:
    card = json.loads(json.dumps(digits_run[1].content))
    card["training"]["choices"] = {
        "recipe_chosen": {"recipe": "dcgan", "reason": "because"},
        "early_stop": {"patience": 3},
        "snapshot_chosen": {"images_seen": 5000, "checks": 9, "measured_on": "held-out images", "kid": 0.25},
    }
    text = render(card)
    assert "Recipe dcgan: because" in text
    assert "after 5,000 images: of 9 snapshots measured" in text
    assert "3 measurements in a row" in text


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        self.found.add(tag)


def test_names_of_users_stay_text(
    striped_dataset: PackedDataset, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    hostile = PackedDataset.create(
        name=HOSTILE,
        images=striped_dataset.images,
        labels=striped_dataset.labels,
        classes=[HOSTILE, "- 1. # two\n## three"],
        source={"origin": HOSTILE},
    )
    _, files = run(hostile, tiny_config("dcgan"), tmp_path, context=CardContext(licence=HOSTILE))
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(render(files.content))

    assert "script" not in Tags(page).found
    assert not {"strong", "em"} & Tags(page).found
    assert "z.example" in page
    assert 'href="http://z.example"' not in page
    assert "<h2>three</h2>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | `x`" in page


@pytest.mark.parametrize(
    "text", ["1. a", "- b", "+ c", "# d", "a|b", "www.x.example", "a\u202eb", "x" * 10_000]
)
def test_escaped_text_is_one_plain_bounded_line(text: str) -> None:
    page = MarkdownIt("commonmark").render(escape(text))
    assert Tags(page).found == {"p"}
    assert len(page) < 2100
    assert "\u202e" not in page


def test_notes_keep_what_the_card_repeats() -> None:
    notes, told = CardNotes(), []
    hooks = notes.listening(Hooks(on_event=lambda kind, _data: told.append(kind)))
    hooks.on_event("started", {"device": "cpu", "threads": 2, "images_seen": 0})
    hooks.on_event(
        "health_rollback", {"code": "non_finite", "message": "m", "images_seen": 5, "rollbacks": 1}
    )
    hooks.on_event("recipe_chosen", {"recipe": "dcgan", "reason": "r", "config": {}})

    assert told == ["started", "health_rollback", "recipe_chosen"]
    assert notes.environment == {"device": "cpu", "threads": 2}
    assert notes.interventions == [
        {"action": "rollback", "code": "non_finite", "message": "m", "images_seen": 5}
    ]
    assert notes.choices == {"recipe_chosen": {"recipe": "dcgan", "reason": "r"}}
