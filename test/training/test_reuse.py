"""Scenes used several times: which sample shows which, and that none is rendered twice."""

from __future__ import annotations

import torch
from torch import Tensor

from training.reuse import ReusedScenes
from training.sources import LaterScenes


class Counting:
    """Scene i is a tensor of i; remembers what was asked for."""

    def __init__(self) -> None:
        self.rendered: list[int] = []

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        self.rendered.append(index)
        return {"left": torch.tensor(index)}


def test_each_scene_is_rendered_once_and_used_so_many_times() -> None:
    source = Counting()
    scenes = ReusedScenes(source, times=3, lag=6)

    shown = [int(scenes[index]["left"]) for index in range(60)]

    # until sample 12 some repetitions would lie before the start: those are new scenes
    assert shown[:15] == [0, 1, 2, 3, 4, 5, 6, 0, 8, 9, 3, 11, 12, 6, 0]
    assert shown[30:36] == [30, 24, 18, 33, 27, 21]
    assert len(source.rendered) == len(set(source.rendered)), "rendered twice"
    assert [shown.count(index) for index in range(0, 45, 3)] == [3] * 15


def test_a_resumed_run_shows_the_same_scenes() -> None:
    whole, resumed = ReusedScenes(Counting(), 3, 6), ReusedScenes(Counting(), 3, 6)

    first = [int(whole[index]["left"]) for index in range(60)]

    assert [int(resumed[index]["left"]) for index in range(24, 60)] == first[24:]


def test_scenes_are_kept_only_until_their_last_use() -> None:
    scenes = ReusedScenes(Counting(), times=2, lag=4)
    for index in range(100):
        scenes[index]
    assert sorted(scenes._kept) == [96, 98]


class TwoViews(Counting):
    """Shows scene i as i and as -i."""

    def views(self, index: int, /) -> list[dict[str, Tensor]]:
        return [self[index], {"left": torch.tensor(-index)}]


def test_another_view_is_shown_at_the_second_use() -> None:
    scenes = ReusedScenes(TwoViews(), times=3, lag=6)
    shown = [int(scenes[index]["left"]) for index in range(36)]
    assert shown[30:] == [30, -24, 18, 33, -27, 21]
    assert shown[:9] == [0, 1, 2, 3, 4, 5, 6, 0, 8], "a scene's own sample is the scene as it is"


def test_scenes_from_later_on_have_their_views() -> None:
    assert [int(view["left"]) for view in LaterScenes(TwoViews(), 5).views(2)] == [7, -7]
    assert [int(view["left"]) for view in LaterScenes(Counting(), 5).views(2)] == [7]
