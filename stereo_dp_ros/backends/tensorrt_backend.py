"""TensorRT: engines that `stereo-dp build-engine` built on this machine. Nothing is built here."""

from __future__ import annotations

import contextlib
import shlex

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends.cuda_driver import CudaDriver
from stereo_dp_ros.backends.engine_cache import EngineCache
from stereo_dp_ros.backends.tensorrt_library import engine_key, load_tensorrt
from stereo_dp_ros.backends.tensorrt_session import EngineSession
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import Model

__all__ = ["PRECISIONS", "TensorRtBackend", "create", "unusable"]

PRECISIONS = ("fp16", "fp32")


class TensorRtBackend:
    """Loads the engine of the size that it meets, from the cache of trusted engines."""

    name = "tensorrt"

    def __init__(self, model: Model, *, precision: str) -> None:
        self._trt = load_tensorrt()
        self._driver = CudaDriver()
        self._gpu = self._driver.gpu()
        self._model = model
        self._cache = EngineCache()
        self.device = f"CUDA, {self._gpu.name}"
        self.precision = self._stored_precision(precision)
        self._session: EngineSession | None = None
        self._size = (0, 0)

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`. A size without a stored engine is a BackendError."""
        size = (left.shape[1], left.shape[0])
        if self._session is None or size != self._size:
            self._session = self._load(size)
            self._size = size
        try:
            return self._session.infer(left, right)
        except BackendError:  # its buffers may be lost: the next pair loads the engine again, if the GPU still can
            with contextlib.suppress(BackendError):
                self.close()
            raise

    def close(self) -> None:
        """Give the GPU's memory back; the next pair loads the engine again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _load(self, size: tuple[int, int]) -> EngineSession:
        key = engine_key(self._trt, self._gpu, self._model, self.precision, size)
        engine, _ = self._cache.load(key, self._model.argument)
        self.close()
        return EngineSession(self._driver, engine, size)

    def _stored_precision(self, precision: str) -> str:
        """The asked one, or the faster of those that there are engines of; BackendError if there are none."""
        stored = set()
        for record in self._cache.records():
            size = (record.key.width_px, record.key.height_px)
            if record.key == engine_key(self._trt, self._gpu, self._model, record.key.precision, size):
                stored.add(record.key.precision)
        wanted = PRECISIONS if precision == "auto" else (precision,)
        for candidate in wanted:
            if candidate in stored:
                return candidate
        raise BackendError(
            f"no {' or '.join(wanted)} engine of {self._model.name} for TensorRT {self._trt.__version__} on {self._gpu}"
            f" in {self._cache.folder} (build it: stereo-dp build-engine --model {shlex.quote(self._model.argument)})"
        )


def create(model: Model, *, precision: str, threads: int | None, device: str) -> Backend:
    """Load `model`; called by `backends.create_backend`."""
    return TensorRtBackend(model, precision=precision)


def unusable(device: str) -> str | None:
    """Why TensorRT cannot be used here, or None."""
    try:
        load_tensorrt()
    except BackendError as error:
        return str(error)
    return None
