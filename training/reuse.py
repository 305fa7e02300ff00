"""Rendered scenes used several times, so that a slow renderer does not hold training up."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

from training.loader import SceneSource

__all__ = ["ReusedScenes"]


class ReusedScenes:
    """Every `times`-th sample is a new scene; the others are earlier ones, kept since they were new.

    Of `times` consecutive samples the first is the scene of its own index, and the k-th after it shows the scene that
    was new k · `lag` samples before. So a batch never holds a scene twice, the order depends on the index alone, and a
    run that is resumed renders again what it needs.

    Parameters
    ----------
    scenes
        Where scenes come from.
    times
        How often each scene is used.
    lag
        Samples between two uses: a multiple of batch size × workers, so that the worker that rendered a scene has it.
    """

    def __init__(self, scenes: SceneSource, times: int, lag: int) -> None:
        self.scenes = scenes
        self.times = times
        self.lag = lag
        self._kept: OrderedDict[int, dict[str, Tensor]] = OrderedDict()

    def source(self, index: int) -> int:
        """Index of the scene that sample `index` shows; before the first repetitions are due, its own."""
        use = index % self.times
        earlier = index - use - use * self.lag
        return earlier if earlier >= 0 else index

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """Scene of a sample."""
        source = self.source(index)
        scene = self._kept.pop(source, None)
        if scene is None:
            scene = self.scenes[source]
        if source % self.times == 0 and index % self.times < self.times - 1:
            self._kept[source] = scene
            if len(self._kept) > self.lag:  # with an order of samples that never asks again
                self._kept.popitem(last=False)
        return scene
