"""Runtimes for the networks: one module each, imported only when it is chosen."""

from __future__ import annotations

from pathlib import Path

from stereo_dp_ros.backends.fallback import FallbackBackend
from stereo_dp_ros.backends.registry import BACKENDS, BackendInfo, backend_status, choices, load, usable_choices
from stereo_dp_ros.backends.telemetry import disable_telemetry
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.models import Model, load_model

__all__ = [
    "BACKENDS",
    "BackendInfo",
    "FallbackBackend",
    "backend_status",
    "create_backend",
    "load_estimator",
    "usable_choices",
]

disable_telemetry()  # here, so that no module of the package can import a runtime before it


def create_backend(name: str, model: Model, *, precision: str = "auto", threads: int | None = None) -> Backend:
    """Load `model` into the runtime `name`.

    Parameters
    ----------
    name
        One of BACKENDS, with a device if it has several ("onnxruntime:cuda"; without one, the first that works).
        "auto" takes the first that works of TensorRT, torch and ONNX Runtime on a GPU, OpenVINO and ONNX Runtime on
        the CPU, and goes on to the next if one fails later; see `FallbackBackend`.
    precision
        "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that the runtime is trusted with.
    threads
        CPU threads; None leaves the choice to the runtime.

    Raises
    ------
    BackendError
        The name or precision is unknown, or no runtime could load the model; the message lists what there is.
    """
    if threads is not None and threads < 1:
        raise BackendError(f"threads is {threads}, expected at least 1")
    if name == "auto":
        return FallbackBackend(model, precision=precision, threads=threads)
    wanted = choices(name)
    known = wanted[0].info.precisions
    if precision not in ("auto", *known):
        raise BackendError(f"backend {name} has no precision {precision!r}, expected auto, {', '.join(known)}")
    reasons = []
    for choice in wanted:
        try:
            return load(choice, model, precision, threads)
        except BackendError as error:
            reasons.append(str(error) if choice.name == name else f"{choice.name}: {error}")
    raise BackendError(f"backend {name} cannot be used: {'; '.join(reasons)}")


def load_estimator(
    model: str | Path = "default",
    backend: str = "auto",
    *,
    precision: str = "auto",
    threads: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> StereoEstimator:
    """An estimator from names; for the parameters and errors see `load_model` and `create_backend`."""
    loaded = load_model(model)
    runtime = create_backend(backend, loaded, precision=precision, threads=threads)
    return StereoEstimator(loaded, runtime, input_size=input_size)
