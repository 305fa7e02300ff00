from __future__ import annotations

import pytest

from training import ablate, ablate_scenes, evaluate, pipeline
from training.command import Parser
from training.errors import TrainingError
from training.processes import open_fabric


def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Parser("train", "Trains.").parse_args(["--outt", "x"])
    assert left.value.code == 2
    said = "training.train: unrecognized arguments: --outt x (see python -m training.train --help)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("command", "name"), [(ablate, "ablate"), (ablate_scenes, "ablate_scenes"), (pipeline, "pipeline")]
)
def test_commands_are_named_as_they_are_called(command: object, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--nonsense"])  # type: ignore[attr-defined]
    assert capsys.readouterr().err.startswith(f"training.{name}: ")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rehearse", "0"], "--rehearse: '0', expected a whole number of at least 1"),  # not the whole run
        (["--threads", "0"], "--threads: '0', expected a whole number of at least 1"),
        (["--max-minutes", "nan"], "--max-minutes: 'nan', expected minutes, 0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_told(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        pipeline.main(["--config", "nowhere.yaml", *options])
    assert left.value.code == 2
    assert capsys.readouterr().err == (f"training.pipeline: argument {said} (see python -m training.pipeline --help)\n")


def test_a_checkpoint_that_cannot_be_scored_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["nowhere.pt"]) == 2
    assert capsys.readouterr().err.startswith("training.evaluate: nowhere.pt: cannot be read (No such file")


def test_devices_and_precision_that_there_are_not_are_told() -> None:
    with pytest.raises(TrainingError, match="accelerator cpu, precision bf17: Precision 'bf17' is invalid"):
        open_fabric("cpu", "bf17")
    with pytest.raises(TrainingError, match="accelerator gpux, precision 32-true: You selected an invalid accel"):
        open_fabric("gpux", "32-true")


def test_what_one_process_does_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="started by torchrun in 4 processes; expected one"):
        open_fabric("cpu", "32-true")
