"""Rendered scenes used several times, so that a slow renderer does not hold training up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from training.loader import SceneSource

__all__ = ["ReusedScenes", "ViewSource"]


@runtime_checkable
class ViewSource(Protocol):
    """A source that can show a scene in several ways at once."""

    def views(self, index: int, /) -> Sequence[dict[str, Tensor]]:
        """Samples of one scene, the first as `__getitem__` gives it."""
        ...


class ReusedScenes:
    """Every `times`-th sample is a new scene; the others are earlier ones, kept since they were new.

    Of `times` consecutive samples the first is the scene of its own index, and the k-th after it shows the scene that
    was new k · `lag` samples before; a `ViewSource` shows another of its views then. So a batch never holds a scene
    twice, the order depends on the index alone, and a run that is resumed renders again what it needs.

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
        self._kept: OrderedDict[int, Sequence[dict[str, Tensor]]] = OrderedDict()

    def source(self, index: int) -> int:
        """Index of the scene that sample `index` shows; before the first repetitions are due, its own."""
        use = index % self.times
        earlier = index - use - use * self.lag
        return earlier if earlier >= 0 else index

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """Scene of a sample."""
        source, use = self.source(index), index % self.times
        views = self._kept.pop(source, None) or self._render(source)
        if source % self.times == 0 and use < self.times - 1:
            self._kept[source] = views
            if len(self._kept) > self.lag:  # with an order of samples that never asks again
                self._kept.popitem(last=False)
        return views[0] if source == index else views[use % len(views)]

    def _render(self, index: int) -> Sequence[dict[str, Tensor]]:
        return self.scenes.views(index) if isinstance(self.scenes, ViewSource) else [self.scenes[index]]
