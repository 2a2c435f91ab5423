"""The command line: train, resume, sample, list; and one sentence instead of a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from ml.catalog import DEFAULT_RECIPE
from ml.cli.main import app
from ml.codecs.png import read_provenance
from ml.data.packed import PackedDataset

TINY = [
    *("--set", "generator_widths=[16]", "--set", "discriminator_widths=[16]"),
    *("--set", "batch_size=8", "--set", "precision=fp32"),
]


@pytest.fixture
def packed(striped_dataset: PackedDataset, tmp_path: Path) -> str:
    striped_dataset.save(tmp_path / "data")
    return str(tmp_path / "data")


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, terminal_width=200)
    return result.exit_code, result.output


def test_train_then_sample(packed: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, output = invoke(
        *("train", "--dataset", packed, "--recipe", "mlp-gan", "--kimg", "0.08", "--out", str(run), *TINY)
    )
    assert code == 0, output
    assert "80 images" in output
    code, output = invoke(
        *("sample", str(run / "snapshot"), "--count", "3", "--seed", "5", "--out", str(tmp_path / "images"))
    )
    assert code == 0, output
    files = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in files] == ["000000.png", "000001.png", "000002.png"]
    label = read_provenance(files[1].read_bytes())
    assert label is not None
    assert (label.seed, label.index, label.class_name) == (5, 1, "columns")


def test_resume_takes_the_settings_of_the_run(packed: str, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    assert (
        invoke("train", "--dataset", packed, "--recipe", "mlp-gan", "--kimg", "0.04", "--out", run, *TINY)[0]
        == 0
    )
    code, output = invoke("train", "--dataset", packed, "--kimg", "0.08", "--out", run, "--resume", run)
    assert code == 0, output
    assert "80 images" in output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "--recipe", "magic"], "There is no recipe 'magic'"),
        (["train", "--dataset", "magic"], "no built-in data set 'magic'"),
        (["train", "--kimg", "-1"], "kimg"),
        (["train", "--set", "colour=blue"], "colour"),
        (["train", "--set", "colour"], "write name=value"),
        (["train", "--resume", "nowhere"], "no checkpoint"),
        (["sample", "nowhere"], "cannot be read"),
        (["recipes", "magic"], "There is no recipe 'magic'"),
    ],
)
def test_errors_are_one_sentence(arguments: list[str], part: str, tmp_path: Path) -> None:
    if arguments[0] == "train":
        arguments = [*arguments, "--out", str(tmp_path / "run")]
    code, output = invoke(*arguments)
    assert code == 1
    assert part in output.replace("\n", " ")
    assert "Traceback" not in output


def test_help_keeps_its_words() -> None:
    """Square brackets are markup to the help's printer: what stands in them would vanish."""
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    helps = {
        f"{name} {option.name}": getattr(option, "help", None) or ""
        for name, command in commands.commands.items()
        for option in command.params
    }
    assert f"Default: {DEFAULT_RECIPE}." in helps["train recipe"]
    assert [option for option, text in helps.items() if "[" in text] == []


def test_lists() -> None:
    code, output = invoke("datasets")
    assert code == 0
    assert "digits" in output
    assert "1,797" in output
    code, output = invoke("recipes")
    assert code == 0
    assert "mlp-gan" in output
    code, output = invoke("recipes", "dcgan")
    assert code == 0
    assert "generator_channels" in output


def test_module_entry_point_trains_without_the_platform(tmp_path: Path) -> None:
    """A fresh process, as users start it; nothing of the platform may be loaded."""
    code = (
        "import sys; sys.argv = ['ml', 'train', '--recipe', 'mlp-gan', '--kimg', '0.1', '--out', sys.argv[1], "
        "'--set', 'generator_widths=[8]', '--set', 'discriminator_widths=[8]', '--set', 'precision=fp32']\n"
        "from ml.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'django', 'celery', 'boto3', 'redis', 'aigc_platform', 'workers'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("[]")
    assert (tmp_path / "run" / "snapshot" / "snapshot.json").is_file()
