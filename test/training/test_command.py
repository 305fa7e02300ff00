from __future__ import annotations

import pytest

from training import ablate, ablate_scenes, pipeline
from training.command import Parser


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
