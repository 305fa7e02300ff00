"""What `stereo-dp bench` times: OpenCV's matchers, our models in every runtime here, other people's networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends import load_estimator, usable_choices
from stereo_dp_ros.backends.peers import load_peers
from stereo_dp_ros.backends.registry import Choice, backend_status, choices
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.models import load_model

__all__ = ["REFERENCE", "BenchMethod", "model_methods", "opencv_methods", "peer_methods"]

REFERENCE = "MODE_SGBM"
_DISPARITIES = 128

_Image = NDArray[np.uint8]


@dataclass(frozen=True)
class BenchMethod:
    """A method with the configuration that it runs in; `call` takes a uint8 RGB pair.

    `method` is OpenCV's mode, `model` for ours, `peer` for another network; `model` is None for OpenCV's.
    """

    method: str
    model: str | None
    backend: str
    precision: str
    device: str
    call: Callable[[_Image, _Image], object]
    estimator: StereoEstimator | None = None


def opencv_methods() -> list[BenchMethod]:
    """Block matching and three modes of SGBM over 128 disparities, on gray images, left-right check included."""
    matchers: dict[str, Any] = {"BM": cv2.StereoBM_create(_DISPARITIES, 15)}  # type: ignore[attr-defined]
    for mode in (REFERENCE, "MODE_SGBM_3WAY", "MODE_HH"):
        matchers[mode] = cv2.StereoSGBM_create(  # type: ignore[attr-defined]
            numDisparities=_DISPARITIES,
            blockSize=5,
            P1=8 * 25,
            P2=32 * 25,
            disp12MaxDiff=1,
            uniquenessRatio=10,
            speckleWindowSize=100,
            speckleRange=2,
            mode=getattr(cv2, f"STEREO_SGBM_{mode}"),
        )
    return [BenchMethod(name, None, "opencv", "int16", "CPU", _on_gray(matcher)) for name, matcher in matchers.items()]


def _on_gray(matcher: Any) -> Callable[[_Image, _Image], object]:
    """On the gray images of the pair: to make them is not a matcher's work, so that it is done once for a pair."""
    made: list[tuple[_Image, NDArray[Any]]] = []

    def gray(image: _Image) -> NDArray[Any]:
        for source, found in made:
            if source is image:
                return found
        del made[:-1]
        made.append((image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)))
        return made[-1][1]

    return lambda left, right: matcher.compute(gray(left), gray(right))


def model_methods(names: Iterable[str], backends: Iterable[str], threads: int) -> list[BenchMethod]:
    """Each model in each runtime, on each device and in each precision that works here and that the model has.

    `backends` names them, as `runtime` or `runtime:device`; without any it is all that work. What cannot load a model
    is told on stderr; one that there is not, or that cannot be used here, is a BackendError.
    """
    named: list[Choice] = []
    for backend in backends:
        found = [(choice, backend_status(choice.info, choice.device)) for choice in choices(backend)]
        usable = [choice for choice, reason in found if reason is None]
        if not usable:
            raise BackendError(f"backend {backend} cannot be used: {found[0][1]}")
        named += usable
    methods = []
    for name in names:
        has_int8 = load_model(name).int8_path is not None
        for choice in named or usable_choices():
            for precision in choice.precisions:
                if precision == "int8" and not has_int8:
                    continue
                try:
                    estimator = load_estimator(name, choice.name, precision=precision, threads=threads)
                except BackendError as error:
                    print(f"left out {name} on {choice.name} {precision}: {error}", file=sys.stderr)
                    continue
                runtime = estimator.backend
                methods.append(
                    BenchMethod(
                        "model",
                        estimator.model.name,
                        runtime.name,
                        runtime.precision,
                        runtime.device,
                        estimator.infer,
                        estimator,
                    )
                )
    return methods


def peer_methods(paths: Iterable[str], threads: int) -> list[BenchMethod]:
    """Each of these ONNX files in each runtime that takes it; see `backends.peers.load_peers`."""
    return [
        BenchMethod("peer", peer.name, peer.backend, peer.precision, peer.device, peer.infer)
        for path in paths
        for peer in load_peers(Path(path), threads)
    ]
