"""The backend `auto`: the first runtime that works, the next one when it fails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends.registry import AUTO, load
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.maps import MapRequest, StereoMaps, infer_maps
from stereo_dp_ros.core.models import Model
from stereo_dp_ros.core.second_thread import SecondThread

__all__ = ["FallbackBackend"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


class FallbackBackend:
    """Tries the runtimes of `registry.AUTO` in turn.

    A runtime that cannot be loaded is left out. One that fails on a pair is left for the next one that answers that
    pair, for good; if none does, the pair is to blame and nothing changes. `name`, `precision` and `device` tell what
    runs now.

    Attributes
    ----------
    reasons
        Why each runtime before the present one is not used, by name.
    """

    def __init__(self, model: Model, *, precision: str, threads: int | None) -> None:
        self._model = model
        self._precision = precision
        self._threads = threads
        self._second = SecondThread("second image")  # its thread ends with the backend
        self.reasons: dict[str, str] = {}
        self._take(*self._next(0, self.reasons), self.reasons)

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        return self._answer(lambda backend: backend.infer(left, right))

    def infer_maps(self, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest) -> StereoMaps:
        """See `core.maps.infer_maps`."""
        return self._answer(lambda backend: infer_maps(backend, left, right, request, self._second))

    def _answer(self, ask: Callable[[Backend], T]) -> T:
        try:
            return ask(self._backend)
        except BackendError as error:
            return self._answer_of_next(ask, error)

    def _answer_of_next(self, ask: Callable[[Backend], T], first: BackendError) -> T:
        reasons = {**self.reasons, AUTO[self._position].name: str(first)}
        position = self._position + 1
        while True:
            try:
                position, backend = self._next(position, reasons)
            except BackendError:
                raise first from None
            try:
                answer = ask(backend)
            except BackendError as error:
                reasons[AUTO[position].name] = str(error)
                position += 1
                continue
            _LOG.warning("%s failed and is left for %s: %s", self.name, backend.name, first)
            self._close()
            self._take(position, backend, reasons)
            return answer

    def _close(self) -> None:
        """Have the present backend give back what it holds, as far as a runtime that failed still can."""
        close = getattr(self._backend, "close", None)
        if close is not None:
            with contextlib.suppress(BackendError):
                close()

    def _next(self, start: int, reasons: dict[str, str]) -> tuple[int, Backend]:
        """Position and backend of the first choice from `start` on that loads; the others' reasons are added."""
        for position in range(start, len(AUTO)):
            choice = AUTO[position]
            try:
                return position, load(choice, self._model, self._precision, self._threads)
            except BackendError as error:
                reasons[choice.name] = str(error)
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise BackendError(f"no backend works here: {listed}")

    def _take(self, position: int, backend: Backend, reasons: dict[str, str]) -> None:
        self._position, self._backend, self.reasons = position, backend, reasons
        self.name, self.precision, self.device = backend.name, backend.precision, backend.device
        _LOG.info("%s runs on %s, %s, %s", self._model.name, self.name, self.precision, self.device)
        for name, reason in reasons.items():
            _LOG.info("%s is not used: %s", name, reason)
