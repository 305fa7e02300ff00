"""Crops: what a sample of a run is cut from, and that an enlarged one keeps its geometry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from training.errors import TrainingError
from training.loader import CroppedScenes


class Ramp:
    """A scene whose colours are twice the column and whose disparity is 8 px and 1 px more for each column."""

    def __getitem__(self, _index: int, /) -> dict[str, Tensor]:
        columns = torch.arange(120).expand(1, 80, 120)
        return {
            "left": (2 * columns).expand(3, 80, 120).to(torch.uint8),
            "right": (2 * columns).expand(3, 80, 120).to(torch.uint8),
            "disparity": 8.0 + columns.float(),
            "valid": columns > 3,
            "occluded": columns < 0,
        }


def test_a_crop_shows_its_place_in_the_scene() -> None:
    crop = CroppedScenes(Ramp(), 64, 96, seed=0)[5]
    assert crop["left"].shape == (3, 64, 96) and crop["left"].dtype == torch.uint8
    columns = crop["left"][0].float() / 2
    assert torch.equal(crop["disparity"][0], 8.0 + columns)
    assert torch.equal(columns - columns[:, :1], torch.arange(96.0).expand(64, 96))
    assert torch.equal(crop["valid"][0], columns > 3)


def test_enlarged_crops_have_larger_disparities_at_the_same_places() -> None:
    scenes = CroppedScenes(Ramp(), 64, 96, seed=0, enlargement=1.5)
    widths = set()
    for index in range(20):
        crop = scenes[index]
        assert crop["left"].shape == (3, 64, 96) and crop["valid"].dtype == torch.bool
        columns = crop["left"][0, 0].float() / 2
        first, last = columns[[0, -1]].tolist()
        cut = round(last - first + 1)
        widths.add(cut)
        # pixel centres: enlarged column x lies at (x + 1/2) cut / 96 - 1/2 of what was cut; labels from the nearest
        place = (torch.arange(96) + 0.5) * cut / 96 - 0.5
        assert (columns - first - place.clamp(0, cut - 1)).abs().max() <= 0.5
        nearest = first + torch.round(place)
        torch.testing.assert_close(crop["disparity"][0, 0], 96 / cut * (8.0 + nearest), atol=96 / cut, rtol=0)
        assert (crop["disparity"][0, 0] != 96 / cut * (8.0 + nearest)).sum() <= 2, "ties of the rounding alone"
    assert min(widths) >= 64 and max(widths) <= 96 and len(widths) > 10


def test_a_scene_smaller_than_the_crop_is_told() -> None:
    with pytest.raises(TrainingError, match="scene 0 is 120x80; expected at least the crop, 128x64"):
        CroppedScenes(Ramp(), 64, 128, seed=0)[0]


# In a session of its own, whose whole group of processes is sent what Ctrl-C in a terminal sends.
INTERRUPTED = """
import signal
import subprocess
from training.loader import Batches, build_loader

heard = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: heard.append(number))
batches = iter(build_loader(list(range(100)), Batches(0, 100, 2), workers=1))
first = next(batches).tolist()
for number in (signal.SIGINT, signal.SIGTERM):
    subprocess.run(["sh", "-c", f"kill -{int(number)} 0"])  # of the group; so not sent by this process itself
rest = [batch.tolist() for batch in batches]
left = iter(build_loader(list(range(100)), Batches(0, 100, 2), workers=1))
next(left)  # and its worker is waited for at the end
print(first, len(rest), rest[-1], [int(number) for number in heard])
"""


def test_workers_go_on_when_the_run_is_asked_to_stop(repository: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=300,
    )
    assert run.stdout == "[0, 1] 49 [98, 99] [2, 15]\n", run.stderr[-3000:]
