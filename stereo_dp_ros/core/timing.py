"""Times of several methods, taken in turn, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["interleaved_ms", "textured_pair"]


def interleaved_ms(
    methods: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2, rest_s: float = 0.0
) -> Iterator[dict[str, float]]:
    """Wall time in ms of each method, a dict a round, after `warmup` rounds that do not count.

    Before each call the process rests for `rest_s`: runtimes wait for their next work by spinning for a while, which
    would take processor time from the method that follows.
    """
    for index in range(warmup + rounds):
        times = {}
        for name, method in methods.items():
            time.sleep(rest_s)
            started = time.perf_counter()
            method()
            times[name] = (time.perf_counter() - started) * 1e3
        if index >= warmup:
            yield times


def textured_pair(
    size: tuple[int, int], disparity_px: int = 20, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A blurred-noise RGB pair of (width, height) px at one whole-pixel disparity; the same at every call."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width + disparity_px, 3), dtype=np.uint8)
    scene = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.uint8)
    return np.ascontiguousarray(scene[:, :width]), np.ascontiguousarray(scene[:, disparity_px:])
