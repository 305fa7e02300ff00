"""Models beside each other: means, ratios and their errors, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from toy_model import write_toy_model
from training.compare import main, ratio


def write_pair(folder: Path, gray: int, disparity_px: float) -> None:
    folder.mkdir(parents=True)
    for name in ("im0.png", "im1.png"):
        cv2.imwrite(str(folder / name), np.full((64, 64), gray, np.uint8))
    cv2.imwrite(str(folder / "disp0.png"), np.full((64, 64), round(disparity_px * 256), np.uint16))


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """`one` answers a quarter of the gray value, `two`, which looks at enlarged images, an eighth."""
    one, two = (write_toy_model(tmp_path, name) for name in ("one", "two"))
    two.write_text(json.dumps({**json.loads(two.read_text()), "scale": 2.0}))
    return [str(one), str(two)]


def run(models: list[str], pairs: Path, *options: str) -> int:
    return main([*models, "--pairs", str(pairs), "--backend", "onnxruntime", "--threads", "1", *options])


def test_each_set_and_all_pairs_have_means_and_ratios(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path / "pairs/a/x", 40, 9.0)  # 10 and 5 for 9: errors 1 and 4
    write_pair(tmp_path / "pairs/a/y", 80, 18.0)  # 20 and 10 for 18: errors 2 and 8
    write_pair(tmp_path / "pairs/b/z", 80, 14.0)  # 20 and 10 for 14: errors 6 and 4
    assert run(models, tmp_path / "pairs") == 0
    # (4 + 8 + 4) / (1 + 2 + 6); the residuals' standard deviation over √3 and over 3
    error = np.std([4 - 16 / 9, 8 - 32 / 9, 4 - 96 / 9], ddof=1) / math.sqrt(3) / 3
    assert capsys.readouterr().out.splitlines() == [
        "| | scenes | one: EPE / bad-2.0 | two: EPE / bad-2.0 |",
        "|---|---|---|---|",
        "| a | 2 | 1.500 / 0.00 | 6.000 / 100.00; × 4.000 ± 0.000 |",
        "| b | 1 | 6.000 / 100.00 | 4.000 / 100.00; × 0.667 |",
        f"| all pairs | 3 | 3.000 / 33.33 | 5.333 / 100.00; × 1.778 ± {error:.3f} |",
    ]


def test_all_models_can_see_images_at_one_scale(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path / "pairs/a/x", 40, 9.0)
    assert run(models, tmp_path / "pairs", "--scale", "1", "--min-area", "0") == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["| a | 1 | 1.000 / 0.00 | 1.000 / 0.00; × 1.000 |"]


def test_ratio_and_its_error() -> None:
    value, error = ratio(np.array([2.0, 4.0]), np.array([1.0, 3.0]))
    assert value == 1.5  # residuals 0.5 and -0.5
    assert error == pytest.approx(math.sqrt(0.5) / math.sqrt(2) / 2)
    assert ratio(np.array([3.0]), np.array([2.0])) == (1.5, math.inf)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["corr_m"], "training.compare: there is nothing to score; expected --pairs or --scenes\n"),
        (["no_such", "--scenes", "1"], "training.compare: no model is named 'no_such', "),
    ],
)
def test_what_cannot_be_scored_is_said_in_a_line(
    values: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(values) == 2
    error = capsys.readouterr().err
    assert error.startswith(line) and error.count("\n") == 1
