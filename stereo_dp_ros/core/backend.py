"""What the estimator asks of a network runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backend"]


class Backend(Protocol):
    """A loaded network. One instance serves one thread at a time.

    Attributes
    ----------
    name, precision, device
        What really runs, as told in logs, diagnostics and reports: `openvino`, `bf16`, `CPU`.
    """

    name: str
    precision: str
    device: str

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Disparity in px and confidence in 0…1, float32 (H, W) each, of a uint8 RGB pair (H, W, 3).

        H and W are multiples of the model's `size_multiple`. The arrays belong to the caller.
        """
        ...
