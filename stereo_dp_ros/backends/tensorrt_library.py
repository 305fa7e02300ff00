"""TensorRT's Python module, and where its versions differ."""

from __future__ import annotations

import importlib
from typing import Any

from stereo_dp_ros.backends.cuda_driver import Gpu
from stereo_dp_ros.backends.engine_cache import EngineKey, model_hash
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["engine_key", "has_precision_flags", "load_tensorrt"]

_OLDEST, _STRONGLY_TYPED = 10, 11


def load_tensorrt() -> Any:
    """The module; BackendError if it is missing, lacks its library, or is older than 10."""
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:  # OSError: the bindings are there, the library is not
        raise BackendError(f"TensorRT cannot be imported ({first_line(error)})") from error
    if _major(trt) < _OLDEST:
        raise BackendError(f"TensorRT is {trt.__version__}, expected {_OLDEST} or newer")
    return trt


def has_precision_flags(trt: Any) -> bool:
    """Whether the builder chooses fp16 by flags (10). From 11 on every network is strongly typed."""
    return _major(trt) < _STRONGLY_TYPED


def engine_key(trt: Any, gpu: Gpu, model: Model, precision: str, size: tuple[int, int]) -> EngineKey:
    """The key of a model's engine here, for (width, height) in px."""
    major, minor = gpu.compute_capability
    return EngineKey(
        model=model.name,
        model_hash=model_hash(model),
        tensorrt=str(trt.__version__),
        gpu=gpu.name,
        compute_capability=f"{major}.{minor}",
        precision=precision,
        width_px=size[0],
        height_px=size[1],
    )


def _major(trt: Any) -> int:
    return int(str(trt.__version__).partition(".")[0])
