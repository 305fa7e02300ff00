"""What surrounds the network, on torch's device: images as they come in, nothing but the wanted maps out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stereo_dp_ros.core.geometry import pixel_rays
from stereo_dp_ros.core.maps import MAPS, MapRequest

__all__ = ["PairMaps"]

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class PairMaps:
    """The work for one request, free of decisions that depend on values, so that it can be recorded and replayed.

    The steps are those of `core.maps.infer_maps`, in its order. Images that the network sees smaller are made smaller
    on the host, whatever makes for the smaller copy.

    Parameters
    ----------
    forward
        The network: float32 (1, 3, H, W) in 0…255 twice to disparity and confidence, float32 (1, 1, H, W).
    """

    def __init__(self, forward: Forward, request: MapRequest, device: torch.device) -> None:
        self._forward = forward
        self._plan = request.plan
        self.names = tuple(name for name in MAPS if name in request.wanted)
        calibration = request.calibration
        if calibration is not None:
            self._doffs_px = calibration.doffs_px
            self._focal_baseline = torch.tensor(calibration.fx_px * calibration.baseline_m, device=device).float()
            rays_x, rays_y = (torch.from_numpy(rays).to(device) for rays in pixel_rays(calibration))
            self._rays_x, self._rays_y = rays_x[None, :], rays_y[:, None]

    def on_host(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What is copied to the device of a uint8 (H, W) or (H, W, 3) image."""
        return np.ascontiguousarray(self._plan.resized(image) if self._plan.shrinks else image)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a map."""
        width, height = self._plan.image_size
        return (height, width, 3) if name == "points" else (height, width)

    def __call__(self, left: Tensor, right: Tensor) -> list[Tensor]:
        """The maps of `names`, from what `on_host` gave, all on the device."""
        return self.finish(*self._forward(self.fit(left), self.fit(right)))

    def finish(self, disparity: Tensor, confidence: Tensor) -> list[Tensor]:
        """The maps of `names`, from what the network gave."""
        disparity_px = self._restore(disparity) * self._plan.disparity_scale
        known = torch.isfinite(disparity_px)
        disparity_px = torch.where(known, disparity_px, torch.nan)
        maps = {"disparity": disparity_px}
        if "confidence" in self.names:
            maps["confidence"] = torch.where(known, self._restore(confidence), 0.0)
        if "depth" in self.names or "points" in self.names:
            shifted_px = disparity_px + self._doffs_px
            depth_m = torch.where(shifted_px > 0, torch.div(self._focal_baseline, shifted_px), torch.nan)
            maps["depth"] = depth_m
            if "points" in self.names:
                maps["points"] = torch.stack([depth_m * self._rays_x, depth_m * self._rays_y, depth_m], dim=-1)
        return [maps[name] for name in self.names]

    def fit(self, image: Tensor) -> Tensor:
        """uint8 (H, W) or (H, W, 3) to float32 (1, 3, H, W) at the padded size."""
        planar = (image[None, None] if image.ndim == 2 else image.permute(2, 0, 1)[None]).float()
        width, height = self._plan.network_size
        if planar.shape[-2:] != (height, width):
            planar = functional.interpolate(planar, size=(height, width), mode="bicubic").round().clamp(0, 255)
        right, bottom = self._plan.padded_size[0] - width, self._plan.padded_size[1] - height
        if right or bottom:
            planar = functional.pad(planar, (0, right, 0, bottom), mode="replicate")
        return planar.expand(1, 3, -1, -1)

    def _restore(self, array: Tensor) -> Tensor:
        """(1, 1, H, W) at the padded size to (H, W) at the images'."""
        width, height = self._plan.network_size
        cropped = array[..., :height, :width]
        if self._plan.network_size != self._plan.image_size:
            size = (self._plan.image_size[1], self._plan.image_size[0])
            cropped = functional.interpolate(cropped, size=size, mode="bilinear")
        return cropped[0, 0]
