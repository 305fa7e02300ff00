"""`nuisances` once more, for images on a GPU: the same cameras, up to the rounding of OpenCV's fixed-point arithmetic.

Compression is libjpeg's of baseline files with halved chroma, without the lossless part.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.data.nuisances import LIGHT_UNIT, NOISE_BANK, CameraResponse, Nuisances, noise_bank

__all__ = ["apply_torch_nuisances"]

_GRAY = (0.299, 0.587, 0.114)
_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
# quantisation at quality 50 (ITU-T T.81, annex K), row by row
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def apply_torch_nuisances(left: Tensor, right: Tensor, nuisances: Nuisances) -> tuple[Tensor, Tensor]:
    """Two uint8 (3, H, W) views through the cameras, on their device."""
    exposure = nuisances.exposure_gain(float(left[:, ::8, ::8].float().mean()))
    views = []
    for image, camera in zip((left, right), nuisances.cameras, strict=True):
        view = image.float()
        if nuisances.gray:
            gray = sum(weight * channel for weight, channel in zip(_GRAY, view, strict=True))
            view = _levels(torch.as_tensor(gray)).expand(3, -1, -1)
        if camera.light is not None:
            view = _lit(view, torch.from_numpy(camera.light).to(view.device))
        if camera.blur_px > 0.25:
            view = _blurred(view, camera.blur_px)
        if nuisances.sharpening:
            view = _levels((1 + nuisances.sharpening) * view - nuisances.sharpening * _blurred(view, 1.0))
        views.append(_sensor(view, camera, exposure, nuisances.gray).to(torch.uint8))
    return views[0], views[1]


def _levels(values: Tensor) -> Tensor:
    """As 8-bit levels: whole, 0 to 255."""
    return values.round().clamp(0, 255)


def _lit(view: Tensor, light: Tensor) -> Tensor:
    size = (view.shape[-2], view.shape[-1])
    factors = _levels(functional.interpolate(light.float()[None, None], size, mode="bilinear", align_corners=False))
    return _levels(view * factors[0] / LIGHT_UNIT)


def _blurred(view: Tensor, sigma_px: float) -> Tensor:
    """A Gaussian blur with the extent that OpenCV gives it for 8-bit images."""
    taps = round(6 * sigma_px + 1) | 1
    offsets = torch.arange(taps, device=view.device) - taps // 2
    kernel = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    padded = functional.pad(view[:, None], [taps // 2] * 4, mode="reflect")
    return _levels(functional.conv2d(functional.conv2d(padded, kernel), kernel.transpose(2, 3))[:, 0])


def _sensor(view: Tensor, camera: CameraResponse, exposure: float, gray: bool) -> Tensor:
    """Response curve, noise, compression."""
    device, (height, width) = view.device, view.shape[-2:]
    table = _levels(torch.from_numpy(camera.table(exposure, gray)).to(device))
    values = view.long()
    view = torch.stack([table[:, channel][values[channel]] for channel in range(3)])
    channels = 1 if gray else 3
    place = torch.arange(camera.noise_start, camera.noise_start + channels * height * width, device=device) % NOISE_BANK
    noise = _bank(device)[place].view(height, width, channels).permute(2, 0, 1)
    view = _levels(view + noise * torch.from_numpy(camera.deviation()).to(device)[view[:channels].long()])
    return view if camera.jpeg_quality is None else _compressed(view, camera.jpeg_quality)


@lru_cache(maxsize=4)
def _bank(device: torch.device) -> Tensor:
    return torch.from_numpy(noise_bank()).to(device)


def _compressed(view: Tensor, quality: int) -> Tensor:
    height, width = view.shape[-2:]
    padded = functional.pad(view[None], (0, -width % 16, 0, -height % 16), mode="replicate")[0]
    matrix = torch.tensor(_YCC, device=view.device)
    planes = torch.einsum("ij,jhw->ihw", matrix, padded)
    luma = planes[:1].round() - 128
    # libjpeg's integers: (sum + 1 or 2) >> 2 when chroma is halved, (16 x + 8 or 7) >> 4 when it is doubled
    odd = torch.arange(padded.shape[-1], device=view.device) % 2
    chroma = torch.floor(functional.avg_pool2d(planes[1:].round(), 2) + (1 + odd[: padded.shape[-1] // 2]) / 4)
    luma = _levels(_quantised(luma, _LUMA, quality) + 128)
    chroma = _levels(_quantised(chroma, _CHROMA, quality) + 128) - 128
    chroma = functional.interpolate(chroma[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    chroma = torch.floor(chroma + (8 - odd) / 16)
    # the inverse of a matrix given to nine digits
    rgb = torch.einsum("ij,jhw->ihw", torch.linalg.inv(matrix), torch.cat([luma, chroma]))
    return _levels(rgb[:, :height, :width])


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """Planes (C, H, W) whose 8 x 8 blocks' cosine transform is rounded to the quality's steps."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = np.clip((np.array(table) * scale + 50) // 100, 1, 255)
    step = torch.from_numpy(steps).to(planes)
    k = torch.arange(8, device=planes.device)
    cosines = torch.cos(pi / 8 * (k[None, :] + 0.5) * k[:, None]) / 2
    cosines[0] /= sqrt(2)
    channels, height, width = planes.shape
    blocks = planes.view(channels, height // 8, 8, width // 8, 8).transpose(2, 3)
    coefficients = (cosines @ blocks @ cosines.T / step).round() * step
    blocks = cosines.T @ coefficients @ cosines
    return blocks.transpose(2, 3).reshape(channels, height, width)
