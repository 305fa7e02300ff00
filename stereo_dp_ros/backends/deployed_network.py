"""A student as a robot runs it: camera images in, disparity and confidence out."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["DeployedNetwork"]


class DeployedNetwork(nn.Module):
    """A student that takes uint8 images.

    Parameters
    ----------
    network
        Takes float32 RGB (1, 3, H, W) in 0…255, returns `networks.StereoOutput`.
    images
        Take uint8 (1, H, W, 3); otherwise what the network takes.
    """

    def __init__(self, network: nn.Module, *, images: bool = True) -> None:
        super().__init__()
        self.network = network.eval()
        self.images = images

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """A pair to disparity in px and confidence, (1, 1, H, W)."""
        if self.images:
            left, right = (image.permute(0, 3, 1, 2).float() for image in (left, right))
        output = self.network(left, right)
        return output.disparity, output.confidence
