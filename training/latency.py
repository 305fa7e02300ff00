"""How long a network takes on this machine."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.core.models import Manifest, Model
from stereo_dp_ros.networks import StereoNetwork
from training.onnx_export import export_onnx

__all__ = ["latency_ms", "runtime_latency_ms"]


def latency_ms(network: StereoNetwork, width_px: int, height_px: int) -> float:
    """Median time of a forward pass in evaluation mode on the network's device, after one to warm up."""
    image = torch.zeros(1, 3, height_px, width_px, device=next(network.parameters()).device)
    with torch.inference_mode():
        return _median_ms(lambda: float(network.eval()(image, image).disparity.sum()))  # a value waits for a GPU


def runtime_latency_ms(network: StereoNetwork, runtime: str, width_px: int, height_px: int) -> tuple[float, str]:
    """Median time in one of the package's runtimes of a uint8 pair to disparity, and the runtime with its precision."""
    image = np.zeros((height_px, width_px, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.onnx"
        export_onnx(network, path)
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
        manifest = Manifest("candidate", network.size_multiple, network.max_disparity_px, files)
        backend = create_backend(runtime, Model(manifest, path.parent))
        return _median_ms(lambda: backend.infer(image, image)), f"{backend.name} {backend.precision}"


def _median_ms(run: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[1:])
