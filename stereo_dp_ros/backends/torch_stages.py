"""How long each stage of the torch backend takes on its device: by CUDA events there, by the clock on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from stereo_dp_ros.backends.torch_backend import Replay, TorchBackend
from stereo_dp_ros.backends.torch_maps import PairMaps
from stereo_dp_ros.core.maps import MapRequest

__all__ = ["stage_times_ms"]

_WARM_UP_RUNS = 3


def stage_times_ms(
    backend: TorchBackend, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest, rounds: int
) -> dict[str, float]:
    """Median time in ms of each stage for one pair.

    Returns
    -------
    `copy in`, `fit` (to float, resize, pad), `network`, `maps` (restore, depth, points) and `copy out`, each launched
    by itself; on CUDA also `network replayed` (pair in GPU memory to disparity and confidence there, one CUDA graph)
    and `all replayed` (the five stages as one graph, which is what the backend runs).
    """
    device = backend.torch_device
    pinned = device.type == "cuda"
    with torch.inference_mode():
        work = PairMaps(backend.forward, request, device)
        host = [torch.from_numpy(work.on_host(image)) for image in (left, right)]
        if pinned:
            host = [image.pin_memory() for image in host]
        images = [image.to(device) for image in host]
        fitted = [work.fit(image) for image in images]
        answer = backend.forward(*fitted)
        maps = work.finish(*answer)
        out = [torch.empty(work.shape(name), pin_memory=pinned) for name in work.names]

        def copy_out() -> None:
            for buffer, found in zip(out, maps, strict=True):
                buffer.copy_(found, non_blocking=True)

        stages: dict[str, Callable[[], object]] = {
            "copy in": lambda: [image.to(device, non_blocking=True, copy=True) for image in host],
            "fit": lambda: [work.fit(image) for image in images],
            "network": lambda: backend.forward(*fitted),
            "maps": lambda: work.finish(*answer),
            "copy out": copy_out,
        }
        if backend.is_recorded:
            stages["network replayed"] = _recorded(lambda: backend.forward(*fitted)).replay
            stages["all replayed"] = Replay(work, request, left, device).replay
        clock = _cuda_ms if backend.is_recorded else _cpu_ms
        times: dict[str, list[float]] = {name: [] for name in stages}
        for turn in range(_WARM_UP_RUNS + rounds):
            for name, stage in stages.items():
                elapsed_ms = clock(stage)
                if turn >= _WARM_UP_RUNS:
                    times[name].append(elapsed_ms)
    return {name: float(np.median(values)) for name, values in times.items()}


def _recorded(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_RUNS):
            work()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph


def _cuda_ms(stage: Callable[[], object]) -> float:
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    started.record()
    stage()
    ended.record()
    ended.synchronize()
    return float(started.elapsed_time(ended))


def _cpu_ms(stage: Callable[[], object]) -> float:
    started = time.perf_counter()
    stage()
    return (time.perf_counter() - started) * 1e3
