"""Runtimes for the networks: one module each, imported only when it is chosen."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stereo_dp_ros.backends.telemetry import disable_telemetry
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.models import Model, load_model

__all__ = ["BACKENDS", "BackendInfo", "backend_status", "create_backend", "load_estimator"]


@dataclass(frozen=True)
class BackendInfo:
    """A runtime that this package can use. `module` is what must be importable for it."""

    name: str
    module: str
    package: str
    precisions: tuple[str, ...]


# In the order in which `auto` tries them: the fastest on a CPU first.
BACKENDS = (
    BackendInfo("openvino", "openvino", "openvino", ("fp32", "bf16")),
    BackendInfo("onnxruntime", "onnxruntime", "onnxruntime", ("fp32",)),
)


def backend_status(info: BackendInfo) -> str | None:
    """None if the runtime is installed, else why it cannot be used."""
    if importlib.util.find_spec(info.module) is None:
        return f"Python module {info.module} is not installed (pip install {info.package})"
    return None


def create_backend(name: str, model: Model, *, precision: str = "auto", threads: int | None = None) -> Backend:
    """Load `model` into the runtime `name`.

    Parameters
    ----------
    name
        One of BACKENDS, or "auto" for the first of them that works here.
    precision
        "fp32", "bf16", or "auto" for the fastest in which the model was measured.
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
        return _create_first(model, precision, threads)
    for info in BACKENDS:
        if info.name == name:
            return _create(info, model, precision, threads)
    known = ", ".join(info.name for info in BACKENDS)
    raise BackendError(f"no backend is named {name!r}, there are auto, {known}")


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


def _create_first(model: Model, precision: str, threads: int | None) -> Backend:
    reasons = []
    for info in BACKENDS:
        if precision != "auto" and precision not in info.precisions:
            reasons.append(f"{info.name}: has no precision {precision}")
            continue
        try:
            return _create(info, model, precision, threads)
        except BackendError as error:
            reasons.append(f"{info.name}: {error}")
    raise BackendError(f"no backend works here: {'; '.join(reasons)}")


def _create(info: BackendInfo, model: Model, precision: str, threads: int | None) -> Backend:
    reason = backend_status(info)
    if reason is not None:
        raise BackendError(f"backend {info.name} cannot be used: {reason}")
    if precision not in ("auto", *info.precisions):
        raise BackendError(
            f"backend {info.name} has no precision {precision!r}, expected auto, {', '.join(info.precisions)}"
        )
    disable_telemetry()
    module = importlib.import_module(f"stereo_dp_ros.backends.{info.name}_backend")
    create: Callable[..., Backend] = module.create
    return create(model, precision=precision, threads=threads)
