"""Evaluation end to end: every figure beside its floor, faults show where they should, nonsense is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from ml.checkpoint import HoldoutRecord, SnapshotDocument, save_snapshot
from ml.cli.main import app
from ml.data.builtin import load_builtin
from ml.data.packed import PackedDataset
from ml.data.split import split_dataset
from ml.errors import InvalidCheckpointError, MlError
from ml.evaluate import EvaluationReport, evaluate, evaluate_images, evaluate_quickly
from ml.metrics import measure, transfer
from ml.networks.build import build_generator
from ml.networks.spec import DcganGeneratorSpec

N = 150
WITHOUT_FLOOR = {"latent_detour", "latent_largest_step"}
ALL_FIGURES = WITHOUT_FLOOR | {
    "frechet_distance",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "two_sample_accuracy",
    "two_sample_precision",
    "two_sample_recall",
    "two_sample_f1",
    "nearest_training_ratio",
    "nearest_training_copies",
    "rarest_class",
    "label_accuracy",
    "train_on_synthetic_accuracy",
    "train_on_synthetic_macro_f1",
}

SaveSnapshot = Callable[..., Path]


@pytest.fixture(scope="module")
def digits() -> PackedDataset:
    return load_builtin("digits")


@pytest.fixture(autouse=True, scope="module")
def short_training() -> Iterator[None]:
    """The classifier of "train on synthetic" needs far fewer images here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "IMAGES_SHOWN", 1500)
        yield


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, digits: PackedDataset) -> SaveSnapshot:
    """Save a generator with random weights, of the digits' size and classes unless told otherwise."""

    def save(
        classes: tuple[str, ...] = digits.classes,
        *,
        px: int = 32,
        config: dict[str, Any] | None = None,
        holdout: HoldoutRecord | None = None,
    ) -> Path:
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("untrained") / "snapshot"
        spec = DcganGeneratorSpec(px=px, image_channels=1, classes=len(classes), latent_size=8, channels=4)
        document = SnapshotDocument(
            generator=spec,
            classes=classes,
            recipe="dcgan",
            config=config or {},
            images_seen=0,
            dataset={"name": "digits", "content_sha256": digits.content_sha256},
            holdout=holdout,
        )
        save_snapshot(folder, build_generator(spec), document)
        return folder

    return save


@pytest.fixture(scope="module")
def snapshot(untrained: SaveSnapshot) -> Path:
    """The snapshot that most tests measure; nobody changes it."""
    return untrained()


@pytest.fixture(scope="module")
def report(snapshot: Path, digits: PackedDataset) -> EvaluationReport:
    """A whole evaluation of it."""
    return evaluate(snapshot, digits, n=N)


def sides(data: PackedDataset) -> tuple[Tensor, Tensor]:
    split = split_dataset(data)
    return split.train, split.test


def test_every_figure_says_what_it_was_measured_with(report: EvaluationReport) -> None:
    assert {figure.name for figure in report.figures} == ALL_FIGURES
    for figure in report.figures:
        assert (figure.floor is None) == (figure.name in WITHOUT_FLOOR), figure.name
        assert (figure.seed, figure.quantisation) == (0, "uint8")
        assert figure.n == (64 if figure.name in WITHOUT_FLOOR else N)
        assert "32 px" in figure.resize
        assert figure.split.startswith("held out if blake2b(seed=0, pixels)")
        assert figure.space.startswith(("digits-32 ", "pixels"))
    assert report.extractor.sha256.startswith(report.figure("precision").space.split()[1])
    assert sum(row.count for row in report.classes) == N
    assert report.split.seen_in_training is True
    assert any("trained on the held-out images too" in warning for warning in report.warnings)


def test_noise_is_told_from_digits_by_every_figure(report: EvaluationReport) -> None:
    for name in ("frechet_distance", "kernel_distance"):
        figure = report.figure(name)
        assert figure.floor is not None
        assert figure.value > 3 * abs(figure.floor)
    assert report.figure("two_sample_accuracy").value > 0.95
    assert report.figure("coverage").value < 0.1
    assert report.figure("rarest_class").value == 0
    assert report.figure("train_on_synthetic_accuracy").value < 0.5
    assert (report.figure("train_on_synthetic_accuracy").floor or 0) > 0.6


def test_the_same_arguments_give_the_same_report(
    report: EvaluationReport, snapshot: Path, digits: PackedDataset
) -> None:
    again = evaluate(snapshot, digits, n=N)
    other = evaluate_quickly(snapshot, digits, n=N, seed=6).report

    assert again.model_dump(exclude={"seconds"}) == report.model_dump(exclude={"seconds"})
    assert again.figure("frechet_distance").value != other.figure("frechet_distance").value
    assert {figure.seed for figure in other.figures} == {6}


def test_the_report_survives_json(report: EvaluationReport) -> None:
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report


def test_real_images_score_like_the_floor(digits: PackedDataset) -> None:
    """Training images in the place of samples: every figure but memorisation is about its floor."""
    train, _ = sides(digits)
    assert digits.labels is not None
    picked = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(9))[:N]]

    report = evaluate_images(digits.images[picked], digits, requested=digits.labels[picked])

    distance = report.figure("frechet_distance")
    assert distance.value == pytest.approx(distance.floor, rel=0.3)
    assert report.figure("two_sample_accuracy").value == pytest.approx(0.5, abs=0.17)
    assert report.figure("coverage").value > 0.85
    assert report.figure("label_accuracy").value > 0.97
    assert report.figure("nearest_training_ratio").value == 0
    assert report.figure("nearest_training_copies").value == 1
    assert [skipped.figures for skipped in report.skipped] == [("latent_detour", "latent_largest_step")]


def test_held_out_images_are_not_taken_for_copies(digits: PackedDataset) -> None:
    _, test = sides(digits)

    report = evaluate_images(digits.images[test[:N]], digits)

    assert report.figure("nearest_training_ratio").value == pytest.approx(1, abs=0.1)
    assert report.figure("nearest_training_copies").value < 0.05


def test_a_missing_class_is_named(digits: PackedDataset) -> None:
    train, _ = sides(digits)
    assert digits.labels is not None
    without_seven = train[digits.labels[train] != 7][:N]

    report = evaluate_images(digits.images[without_seven], digits)

    assert report.figure("rarest_class").value == 0
    (missing,) = [row for row in report.classes if row.count == 0]
    assert missing.name == "7"
    assert missing.expected > 5
    assert missing.accuracy is None


def test_data_without_classes_say_what_cannot_be_measured(digits: PackedDataset) -> None:
    plain = PackedDataset.create(name="plain", images=digits.images)

    report = evaluate_images(digits.images[:N], plain)

    assert report.classes == ()
    assert report.classifier is None
    assert {name for skipped in report.skipped for name in skipped.figures} >= {
        "rarest_class",
        "label_accuracy",
        "train_on_synthetic_accuracy",
    }
    assert report.extractor.name == "fashion-28"
    assert any("learned from other data (fashion-mnist)" in warning for warning in report.warnings)


def test_classes_that_no_network_knows_get_a_classifier_of_their_own(digits: PackedDataset) -> None:
    """Renamed classes in colour: no classifier knows them, so the floor's own one judges."""
    count, kept = 60, 800
    assert digits.labels is not None
    labels = digits.labels[:kept]
    names = [f"number {name}" for name in digits.classes]
    colour = PackedDataset.create(
        name="colour", images=digits.images[:kept].repeat(1, 3, 1, 1), labels=labels, classes=names
    )

    report = evaluate_images(colour.images[:count], colour, requested=labels[:count])

    assert report.extractor.name == "lite0-112"
    assert report.classifier == f"trained on {count} real training images"
    assert report.figure("label_accuracy").floor == report.figure("train_on_synthetic_accuracy").floor


def test_what_training_held_out_is_what_is_compared(untrained: SaveSnapshot, digits: PackedDataset) -> None:
    report = evaluate(untrained(config={"holdout": 0.2}), digits, n=N)

    assert report.split.holdout == 0.2
    assert report.split.seen_in_training is False
    assert any("learned from some of the held-out images" in warning for warning in report.warnings)


def test_the_snapshots_own_word_on_what_was_held_out_counts(
    untrained: SaveSnapshot, digits: PackedDataset
) -> None:
    """The setting may be null, which stands for a share that depends on the data."""
    holdout = HoldoutRecord(share=0.1, method="m", train=1614, held_out=183)
    report = evaluate_quickly(untrained(config={"holdout": None}, holdout=holdout), digits, n=N).report

    assert report.split.seen_in_training is False
    assert not any("trained on the held-out images" in warning for warning in report.warnings)


def test_a_generator_without_classes_is_counted_but_not_asked(
    untrained: SaveSnapshot, digits: PackedDataset
) -> None:
    report = evaluate(untrained(classes=()), digits, n=N)

    names = {figure.name for figure in report.figures}
    assert "rarest_class" in names
    assert names.isdisjoint({"label_accuracy", "train_on_synthetic_accuracy"})
    assert all(row.accuracy is None for row in report.classes)


@pytest.mark.parametrize(
    ("n", "code"), [(49, "evaluation.too_few"), (0, "evaluation.too_few"), (184, "evaluation.too_many")]
)
def test_refuses_numbers_that_mean_nothing(
    untrained: SaveSnapshot, digits: PackedDataset, n: int, code: str
) -> None:
    with pytest.raises(MlError) as caught:
        evaluate(untrained(), digits, n=n)

    assert caught.value.code == code
    assert "183 are held out and 1,614 are for training" in caught.value.message


def test_refuses_a_data_set_too_small_to_hold_enough_out(digits: PackedDataset) -> None:
    small = PackedDataset.create(name="small", images=digits.images[:300])

    with pytest.raises(MlError, match="hold out a larger share, or add images"):
        evaluate_images(digits.images[:30], small)


def test_refuses_pairs_that_do_not_belong_together(untrained: SaveSnapshot, digits: PackedDataset) -> None:
    with pytest.raises(MlError, match=r"makes images of \[1, 16, 16\]"):
        evaluate(untrained(px=16), digits)
    with pytest.raises(MlError, match="classes"):
        evaluate(untrained(classes=("cat", "dog")), digits)
    with pytest.raises(MlError, match="to 8 bits first"):
        evaluate_images(digits.images[:N].float() / 255, digits)
    with pytest.raises(MlError, match="seed"):
        evaluate(untrained(), digits, seed=-1)


def test_refuses_a_damaged_snapshot(untrained: SaveSnapshot, digits: PackedDataset) -> None:
    folder = untrained()
    weights = folder / "snapshot.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")

    with pytest.raises(InvalidCheckpointError):
        evaluate(folder, digits)


def test_stages_rise_to_the_end_and_may_stop_it(untrained: SaveSnapshot, digits: PackedDataset) -> None:
    class EnoughError(Exception):
        pass

    told: list[tuple[str, float]] = []

    def stop_at_distances(stage: str, done: float) -> None:
        told.append((stage, done))
        if stage == "distributions":
            raise EnoughError

    with pytest.raises(EnoughError):
        evaluate(untrained(), digits, n=N, on_stage=stop_at_distances)
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert told[0][0] == "samples"


def test_the_command_prints_a_table_and_writes_the_report(snapshot: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"

    result = CliRunner().invoke(
        app, ["evaluate", str(snapshot), "--dataset", "digits", "--n", str(N), "--out", str(out)]
    )

    assert result.exit_code == 0, result.output
    assert "frechet_distance" in result.output
    assert "Floor" in result.output
    report = EvaluationReport.model_validate(json.loads(out.read_text("utf-8")))
    assert report.n == N


def test_the_command_says_what_is_wrong_in_one_sentence(untrained: SaveSnapshot) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(untrained()), "--n", "10"])

    assert result.exit_code == 1
    assert "needs at least 50 images on each side" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_quick_evaluation_agrees_with_a_whole_one_where_it_measures(
    report: EvaluationReport, snapshot: Path, digits: PackedDataset
) -> None:
    quick = evaluate_quickly(snapshot, digits, n=N)

    assert {figure.name for figure in quick.report.figures} >= {"frechet_distance", "rarest_class"}
    for figure in quick.report.figures:
        assert figure == report.figure(figure.name)
    explained = {name for skipped in quick.report.skipped for name in skipped.figures}
    assert {figure.name for figure in quick.report.figures} | explained == ALL_FIGURES
    assert torch.equal(quick.searched, sides(digits)[0])
    assert quick.features.fake.shape[0] == len(quick.samples.images) == N


def test_a_quick_evaluation_takes_what_there_is_and_searches_some(
    untrained: SaveSnapshot, digits: PackedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "QUICK_SEARCHED", 300)
    quick = evaluate_quickly(untrained(), digits, n=10_000)

    train, test = sides(digits)
    assert quick.report.n == len(test)
    assert len(quick.searched) == len(quick.features.all_train) == 300
    assert bool(torch.isin(quick.searched, train).all())
    reference = quick.report.figure("nearest_training_ratio").reference
    assert reference == f"300 of {len(train)} training images"
