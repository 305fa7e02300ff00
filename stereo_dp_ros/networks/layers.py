"""Convolution blocks shared by the networks."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ConvBlock", "ConvBlock3d", "ResidualBlock", "ResidualBlock3d"]


class ConvBlock(nn.Sequential):
    """2-D convolution without bias, batch norm and, unless `act` is False, ReLU; keeps the size at stride 1."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1, *, act: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        ]
        super().__init__(*layers, *([nn.ReLU()] if act else []))


class ConvBlock3d(nn.Sequential):
    """3-D convolution without bias, batch norm and, unless `act` is False, ReLU; keeps the size at stride 1."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int | tuple[int, int, int] = 3,
        stride: int = 1,
        *,
        act: bool = True,
    ) -> None:
        kernels = (kernel, kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (kernels[0] // 2, kernels[1] // 2, kernels[2] // 2)
        layers: list[nn.Module] = [
            nn.Conv3d(c_in, c_out, kernels, stride, padding, bias=False),
            nn.BatchNorm3d(c_out),
        ]
        super().__init__(*layers, *([nn.ReLU()] if act else []))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = ConvBlock(channels, channels, act=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        out: Tensor = self.act(x + self.second(self.first(x)))
        return out


class ResidualBlock3d(nn.Module):
    """A convolution within each disparity (1×3×3), then one across disparities (3×1×1), beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.within = ConvBlock3d(channels, channels, (1, 3, 3))
        self.across = ConvBlock3d(channels, channels, (3, 1, 1), act=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, D, H, W) to the same shape."""
        out: Tensor = self.act(x + self.across(self.within(x)))
        return out
