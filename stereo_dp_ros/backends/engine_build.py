"""Building an engine: convert, compare with ONNX Runtime on the CPU, and only then store."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stereo_dp_ros.backends.cuda_driver import CudaDriver
from stereo_dp_ros.backends.engine_cache import EngineCache, EngineKey, EngineRecord
from stereo_dp_ros.backends.engine_gate import TOLERANCES, compare
from stereo_dp_ros.backends.tensorrt_library import engine_key, load_tensorrt
from stereo_dp_ros.backends.tensorrt_session import EngineSession
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["CONVERTERS", "BuiltEngine", "build_engine"]

# name → module with build(model, (width, height), precision) -> serialized engine
CONVERTERS = {"onnx": "tensorrt_onnx", "torch2trt": "tensorrt_torch2trt"}

Convert = Callable[[Model, tuple[int, int], str], bytes]


@dataclass(frozen=True)
class BuiltEngine:
    """A stored engine; `built` is False if it was there already."""

    path: Path
    record: EngineRecord
    built: bool
    replaced: str | None = None
    """Why an engine that was there was not taken."""


def build_engine(
    model: Model, size: tuple[int, int], *, precision: str, converter: str, cache: EngineCache | None = None
) -> BuiltEngine:
    """The trusted engine of a model for images of (width, height) px, built unless the cache has it.

    A second process that wants the same engine waits for the first and takes what it stored.

    Raises
    ------
    BackendError
        No GPU or TensorRT, a size that the network does not take, the conversion failed, or the engine's answers are
        not those of ONNX Runtime on the CPU: it is then not stored.
    """
    multiple = model.manifest.size_multiple
    if size[0] % multiple or size[1] % multiple:
        fitting = "x".join(str(-(-length // multiple) * multiple) for length in size)
        raise BackendError(f"size is {size[0]}x{size[1]}, expected multiples of {multiple}, such as {fitting}")
    cache = cache or EngineCache()
    driver = CudaDriver()
    key = engine_key(load_tensorrt(), driver.gpu(), model, precision, size)
    with cache.lock(key):
        replaced = None
        if cache.path(key).is_file():
            try:
                record = _stored(cache, key, driver, converter)
                return BuiltEngine(cache.path(key), record, built=False)
            except BackendError as error:
                replaced = str(error)
        convert: Convert = _import(CONVERTERS[converter]).build
        engine = convert(model, size, precision)
        figures = _trusted(driver, engine, model, size, precision)
        record = EngineRecord(key, converter, figures)
        return BuiltEngine(cache.store(engine, record), record, built=True, replaced=replaced)


def _stored(cache: EngineCache, key: EngineKey, driver: CudaDriver, converter: str) -> EngineRecord:
    engine, record = cache.load(key)
    if record.converter != converter:
        raise BackendError(f"{cache.path(key)}: was built by {record.converter}, {converter} is asked for")
    EngineSession(driver, engine, (key.width_px, key.height_px)).close()
    return record


def _trusted(
    driver: CudaDriver, engine: bytes, model: Model, size: tuple[int, int], precision: str
) -> dict[str, object]:
    """Figures of the comparison; BackendError if the engine fails it."""
    expected = _import("onnxruntime_backend").create(model, precision="fp32", threads=None, device="cpu")
    session = EngineSession(driver, engine, size)
    try:
        return compare(session.infer, expected.infer, size, TOLERANCES[precision]).as_dict()
    except BackendError as error:
        raise BackendError(f"the engine is refused, ONNX Runtime on the CPU being the reference: {error}") from error
    finally:
        session.close()


def _import(module: str) -> Any:
    """A module of this room that needs more than the runtime does."""
    try:
        return importlib.import_module(f"stereo_dp_ros.backends.{module}")
    except ModuleNotFoundError as error:
        raise BackendError(f"building an engine so needs {error.name} (pip install {error.name})") from error
