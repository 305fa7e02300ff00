"""From a camera pair to what a network takes, and its exact inverse for what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import ImageError

__all__ = ["SCALES", "Preprocessing", "require_pair"]

SCALES = (0.5, 2.0)
"""Least and most that images are scaled by along each side."""
CUBIC_ABOVE = 0.7


def require_pair(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> None:
    """Raise ImageError unless both are uint8 (H, W) or (H, W, 3) of one shape."""
    for side, image in (("left", left), ("right", right)):
        if image.dtype != np.uint8:
            raise ImageError(f"{side} image has dtype {image.dtype}, expected uint8")
        if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
            raise ImageError(f"{side} image has shape {image.shape}, expected (H, W) gray or (H, W, 3) RGB")
        if image.size == 0:
            raise ImageError(f"{side} image is empty, its shape is {image.shape}")
    if left.shape != right.shape:
        raise ImageError(
            f"left is {_describe(left)} and right is {_describe(right)}, expected the same size and channels"
        )


def _scaled(size: tuple[int, int], scale: float, min_area_px: int) -> tuple[int, int]:
    factor = max(scale, min(SCALES[1], (min_area_px / (size[0] * size[1])) ** 0.5))
    return round(size[0] * factor), round(size[1] * factor)


def _describe(image: NDArray[np.uint8]) -> str:
    kind = "gray" if image.ndim == 2 else "RGB"
    return f"{image.shape[1]}x{image.shape[0]} {kind}"


@dataclass(frozen=True)
class Preprocessing:
    """How images of one size are fitted to a network: resized, then padded at the right and bottom.

    Padding repeats the last column and row. It goes to the right because a left pixel is matched at
    x_right ≤ x_left: padded columns are then never searched by real pixels.
    """

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    padded_size: tuple[int, int]

    @classmethod
    def plan(
        cls,
        image_size: tuple[int, int],
        size_multiple: int,
        network_size: tuple[int, int] | None = None,
        scale: float = 1.0,
        min_area_px: int = 0,
    ) -> Preprocessing:
        """Sizes are (width, height) in px.

        Without a `network_size` the image's own is multiplied by `scale`, and by more, up to the most of `SCALES`,
        where the network would see fewer than `min_area_px` pixels. A network that answers at a quarter of its
        input's resolution finds finer things in larger images; small ones are fast anyway.
        """
        width, height = network_size or _scaled(image_size, scale, min_area_px)
        padded = (-(-width // size_multiple) * size_multiple, -(-height // size_multiple) * size_multiple)
        return cls(image_size, (width, height), padded)

    @property
    def disparity_scale(self) -> float:
        """Pixels of the image per pixel of the network, along x."""
        return self.image_size[0] / self.network_size[0]

    @property
    def shrinks(self) -> bool:
        """Whether the network's images are smaller than the camera's."""
        return self.network_size[0] < self.image_size[0]

    def resized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A uint8 (H, W) or (H, W, 3) image at `network_size`.

        Cubic, which keeps most detail, where no pixels are left out; else the slower mean over areas.
        """
        if self.network_size == self.image_size:
            return image
        return np.asarray(cv2.resize(image, self.network_size, interpolation=self._interpolation), np.uint8)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A uint8 (H, W) or (H, W, 3) image as contiguous RGB at `padded_size`."""
        if self.padded_size == self.image_size:
            return np.ascontiguousarray(image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))
        width, height = self.network_size
        padded = np.empty((self.padded_size[1], self.padded_size[0], 3), np.uint8)
        inner = padded[:height, :width]
        if image.ndim == 2:
            cv2.cvtColor(self.resized(image), cv2.COLOR_GRAY2RGB, dst=inner)
        elif self.network_size == self.image_size:
            inner[:] = image
        else:
            cv2.resize(image, self.network_size, dst=inner, interpolation=self._interpolation)
        padded[:height, width:] = padded[:height, width - 1 : width]
        padded[height:] = padded[height - 1]
        return padded

    @property
    def _interpolation(self) -> int:
        return cv2.INTER_CUBIC if self.network_size[0] > CUBIC_ABOVE * self.image_size[0] else cv2.INTER_AREA

    def invert_disparity(self, disparity_px: NDArray[np.float32]) -> NDArray[np.float32]:
        """Disparity at `padded_size` as disparity at `image_size`, in that image's pixels."""
        restored = self._restore(disparity_px)
        if self.disparity_scale != 1:
            restored *= np.float32(self.disparity_scale)
        return restored

    def invert_confidence(self, confidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Confidence at `padded_size` as confidence at `image_size`."""
        return self._restore(confidence)

    def _restore(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        width, height = self.network_size
        cropped = array[:height, :width]
        if self.network_size == self.image_size:
            return np.ascontiguousarray(cropped)
        return np.asarray(cv2.resize(cropped, self.image_size, interpolation=cv2.INTER_LINEAR), np.float32)
