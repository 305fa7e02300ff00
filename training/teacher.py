"""Teachers: whatever says, for a pair, how likely each disparity is, or one disparity and how sure it is.

A stronger network of one's own is plugged in as a class with `identity` and `__call__`, or without any code as an ONNX
file with a manifest (see `open_teacher`).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.networks import StereoNetwork, StereoOutput, load_network
from training.errors import TrainingError
from training.evaluate import network_from_checkpoint

__all__ = [
    "CachedTeacher",
    "EstimatorTeacher",
    "NetworkTeacher",
    "ScaledNetwork",
    "Teacher",
    "TeacherOutput",
    "model_network",
    "open_teacher",
    "scaled",
]


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher says about N pairs of (H, W): logits, or disparity and confidence.

    Attributes
    ----------
    logits
        (N, K, H/4, W/4) before the softmax; entry k stands for a disparity of k · `bin_px`.
    bin_px
        Pixels of full resolution per bin.
    disparity, confidence
        (N, 1, H, W), px and 0…1.
    """

    logits: Tensor | None = None
    bin_px: float = 1.0
    disparity: Tensor | None = None
    confidence: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.logits is None) == (self.disparity is None or self.confidence is None):
            raise TrainingError("a teacher gave neither or both; expected logits, or disparity and confidence")

    @property
    def max_disparity_px(self) -> float:
        """Disparity of the last bin; without logits, none is too large."""
        return math.inf if self.logits is None else self.bin_px * (self.logits.shape[1] - 1)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that there are, by name."""
        names = ("logits", "disparity", "confidence")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class Teacher(Protocol):
    """A teacher. `identity` is a file name's worth of text that changes whenever its answers do."""

    identity: str
    bin_px: float

    def __call__(self, left: Tensor, right: Tensor, samples: Sequence[int]) -> TeacherOutput:
        """Answer for (N, 3, H, W) float32 images in 0…255, which are the run's samples of these indices."""
        ...


class NetworkTeacher:
    """One of the package's networks, in evaluation mode, without gradients."""

    def __init__(self, network: StereoNetwork, device: torch.device | str = "cpu") -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.bin_px = network.bin_px
        self.identity = _digest(network)

    @torch.no_grad()
    def __call__(self, left: Tensor, right: Tensor, samples: Sequence[int]) -> TeacherOutput:
        """Logits, computed in bfloat16: its rounding is far below a teacher's own errors.

        Raises
        ------
        TrainingError
            If the network enlarges the images and their width times its scale is no multiple of `size_multiple`.
        """
        wide = left.shape[-1] * getattr(self.network, "scale", 1.0)
        if wide % self.network.size_multiple:
            raise TrainingError(
                f"teacher: images {left.shape[-1]} px wide are enlarged to {wide:g} px; expected a multiple of"
                f" {self.network.size_multiple}"
            )
        with torch.autocast(left.device.type, torch.bfloat16):
            logits = self.network(left, right).logits.float()
        return TeacherOutput(logits=logits, bin_px=self.bin_px)


class EstimatorTeacher:
    """A model in any of the package's runtimes; gives disparity and confidence, pair by pair."""

    bin_px = 1.0

    def __init__(self, estimator: StereoEstimator) -> None:
        self.estimator = estimator
        hashes = sorted(estimator.model.manifest.files.values())
        self.identity = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]

    def __call__(self, left: Tensor, right: Tensor, samples: Sequence[int]) -> TeacherOutput:
        """Disparity and confidence."""
        answers = [self.estimator.infer(_image(a), _image(b)) for a, b in zip(left, right, strict=True)]
        disparity = torch.from_numpy(np.stack([a.disparity_px for a in answers]))[:, None].to(left.device)
        confidence = torch.from_numpy(np.stack([a.confidence for a in answers]))[:, None].to(left.device)
        known = torch.isfinite(disparity)
        zero = torch.zeros((), device=left.device)
        return TeacherOutput(
            disparity=torch.where(known, disparity, zero), confidence=torch.where(known, confidence, zero)
        )


class CachedTeacher:
    """A teacher whose answers are kept on disk, one file a sample, logits in half precision.

    Parameters
    ----------
    teacher
        Asked for what is not there yet.
    folder
        Files go to a folder of the teacher's identity in it.
    samples_identity
        Text that changes whenever the samples behind the indices do.
    limit_bytes
        Once so much has been written by this process, answers are no longer kept.
    """

    def __init__(self, teacher: Teacher, folder: Path, samples_identity: str, limit_bytes: float) -> None:
        self.teacher = teacher
        self.identity = teacher.identity
        self.bin_px = teacher.bin_px
        self.folder = folder / f"{teacher.identity}-{samples_identity}"
        self.bytes_left = limit_bytes
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, left: Tensor, right: Tensor, samples: Sequence[int]) -> TeacherOutput:
        """The kept answers where all of the batch are there, else the teacher's, which are then kept; equal ones."""
        paths = [self.folder / f"{index:09d}.safetensors" for index in samples]
        if all(path.exists() for path in paths):
            kept = [_read(path) for path in paths]
            values = {name: torch.stack([k[name] for k in kept]).to(left.device).float() for name in kept[0]}
            return TeacherOutput(bin_px=self.bin_px, **values)
        answer = self.teacher(left, right, samples).tensors()
        if "logits" in answer:
            most = torch.finfo(torch.half).max
            answer["logits"] = answer["logits"].clamp(-most, most).half()
        for i, path in enumerate(paths):
            self._keep({name: value[i] for name, value in answer.items()}, path)
        return TeacherOutput(bin_px=self.bin_px, **{name: value.float() for name, value in answer.items()})

    def _keep(self, kept: dict[str, Tensor], path: Path) -> None:
        size = sum(v.nbytes for v in kept.values())
        if size > self.bytes_left:
            return
        self.bytes_left -= size
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({k: v.cpu().contiguous() for k, v in kept.items()}, partial)
        os.replace(partial, path)


def model_network(name: str) -> StereoNetwork:
    """The network of a model, shipped or a user's, from its manifest and safetensors, in evaluation mode."""
    model = load_model(name)
    return load_network(model.manifest.network, model.file_with_suffix(".safetensors"))


def scaled(network: StereoNetwork, scale: float) -> StereoNetwork:
    """The same network asked at `scale` times the size of the images; its bins are finer by as much."""
    return network if scale == 1.0 else ScaledNetwork(network, scale).eval()


class ScaledNetwork(StereoNetwork):
    """A network that works on enlarged images and answers at their own size.

    Logits and maps come back by their nearest pixel: a mean across an edge would be a disparity of neither side.
    """

    def __init__(self, network: StereoNetwork, scale: float) -> None:
        super().__init__()
        self.network = network
        self.config = network.config
        self.scale = scale
        self.bins = network.bins
        self.bin_px = network.bin_px / scale
        self.size_multiple = network.size_multiple

    def forward(self, left: Tensor, right: Tensor) -> StereoOutput:
        """See `StereoOutput`; the enlarged size is rounded to multiples of `size_multiple`."""
        height, width = left.shape[-2:]
        high, wide = (max(1, round(self.scale * x / self.size_multiple)) * self.size_multiple for x in (height, width))
        output = self.network(*(functional.interpolate(x, size=(high, wide), mode="bilinear") for x in (left, right)))
        scale, ratio = output.logits.shape[-1] / wide, width / wide

        def back(values: Tensor, share: float) -> Tensor:
            size = (round(height * share), round(width * share))
            return functional.interpolate(values, size=size, mode="nearest-exact")

        return StereoOutput(
            disparity=back(output.disparity, 1.0) * ratio,
            confidence=back(output.confidence, 1.0),
            logits=back(output.logits, scale),
            disparity_coarse=back(output.disparity_coarse, scale) * ratio,
        )


def open_teacher(path: Path, device: torch.device | str = "cpu") -> Teacher:
    """A teacher from a training checkpoint (`.pt`) or from the manifest of an ONNX model (`.json`)."""
    if path.suffix == ".json":
        return EstimatorTeacher(load_estimator(str(path)))
    if path.suffix == ".pt":
        return NetworkTeacher(network_from_checkpoint(path)[0], device)
    raise TrainingError(f"{path}: is no teacher; expected a checkpoint (.pt) or the manifest of an ONNX model (.json)")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); delete it and it is computed anew") from error


def _image(tensor: Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).round().to(torch.uint8).cpu().numpy()


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256(f"{getattr(network, 'scale', 1.0)}".encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
