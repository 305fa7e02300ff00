"""What `dtpnet` makes its features of: separable and inverted blocks, spatial pyramid pooling."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stereo_dp_ros.networks.layers import ConvBlock

__all__ = ["DepthwiseConv", "InvertedBlock", "PyramidPooling", "SeparableBlock", "SeparableConv"]


class DepthwiseConv(nn.Conv2d):
    """3×3 depthwise convolution."""

    def __init__(self, channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H/stride, W/stride)."""
        if not self.training or self.dilation == (1, 1) or x.device.type != "cpu":
            return super().forward(x)
        # In fp32: the weight's gradient of torch's dilated one in bf16 is whatever the memory held, on a CPU and with
        # the channels last (seen with torch 2.13).
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class SeparableConv(nn.Sequential):
    """3×3 depthwise, then 1×1 convolution, each with batch norm (MobileNet, Howard et al. 2017)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1, *, act: bool = True) -> None:
        super().__init__(
            DepthwiseConv(c_in, stride, dilation),
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            ConvBlock(c_in, c_out, kernel=1, act=act),
        )


class Projection(ConvBlock):
    """1×1 convolution at every `stride`-th pixel, and batch norm."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, kernel=1, stride=stride, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        convolution = cast(nn.Conv2d, self[0])
        step = convolution.stride[0]
        out: Tensor
        if not self.training or step == 1:
            out = super().forward(x)
        else:
            # The same without a stride: on a CPU the gradient of torch's strided 1×1 convolution destroys memory
            # where the channels are last and fewer than 16, as after pruning (seen with torch 2.13).
            out = self[1](functional.conv2d(x[..., ::step, ::step], convolution.weight))
        return out


class SeparableBlock(nn.Module):
    """Two separable convolutions beside the identity, or beside a 1×1 projection where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = SeparableConv(c_in, c_out, stride, dilation)
        self.second = SeparableConv(c_out, c_out, dilation=dilation, act=False)
        same = stride == 1 and c_in == c_out
        self.project = nn.Identity() if same else Projection(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.project(x) + self.second(self.first(x))
        return out


class InvertedBlock(nn.Module):
    """1×1 expansion by 3, 3×3 depthwise, 1×1 projection (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.expand = ConvBlock(c_in, 3 * c_in, kernel=1)
        self.spread = SeparableConv(3 * c_in, c_out, stride, act=False)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.spread(self.expand(x))
        return x + out if self.residual else out


class PyramidPooling(nn.Module):
    """Means over 2², 4² and 8² pixels, projected and put beside the features; 8 divides every size at 1/4."""

    sizes = (2, 4, 8)

    def __init__(self, channels: int) -> None:
        super().__init__()
        branch = channels // 2
        self.branches = nn.ModuleList(ConvBlock(channels, branch, kernel=1) for _ in self.sizes)
        self.merge = ConvBlock(channels + branch * len(self.sizes), channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        levels = [x]
        for size, branch in zip(self.sizes, self.branches, strict=True):
            pooled = branch(functional.avg_pool2d(x, size))
            levels.append(functional.interpolate(pooled, scale_factor=float(size), mode="bilinear"))
        out: Tensor = self.merge(torch.cat(levels, dim=1))
        return out
