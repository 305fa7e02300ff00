"""The rasterizer once more, for batches on a GPU: all surfaces of all scenes at once, without a loop.

Every sample that any sprite's window covers becomes a candidate; candidates whose texel is inside the outline
compete for their sample by a 64-bit key (disparity above, sprite below); the winner is textured.  The sprites are
baked on the CPU, in workers, as for `rasterizer`, whose results these are up to the rounding of OpenCV's
interpolation (1/32 texel).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from training.data.nuisances import Nuisances
from training.data.rasterizer import OCCLUDER_MARGIN_PX, Lattice, Sprite, sprite_window
from training.data.scene import Scene
from training.data.torch_nuisances import apply_torch_nuisances

__all__ = ["PackedSample", "PackedScene", "RenderedBatch", "pack_scene", "render_batch", "render_samples"]

# columns of PackedScene.sprites
_C, _A, _B, _P, _Q, _R, _X0, _Y0, _LEFT, _TOP, _SCALE = range(11)
_LOW = 0xFFFFFFFF
_SCENES_AT_ONCE = 8  # a scene of 640x320 takes up to a GiB while it is rendered


@dataclass(frozen=True)
class PackedScene:
    """One scene's sprites as tensors, to be sent to a device.

    Attributes
    ----------
    texels
        uint8 (T, 4), the rasters one after the other, row by row.
    sprites
        float32 (S, 11): the surface's c, a, b, p, q, r, x0, y0, then the raster's left, top, texels per px.
    rasters
        int64 (S, 3): index of the first texel, width, height.
    windows
        int64 (2, S, 4): first row, first column, rows, columns on the left and right lattice; 0 rows if unseen.
    rows
        float32 (2, 2): left-view row = scale * row + offset, of each view.
    gains
        float32 (2, S): factors of the sprites' brightness in each view.
    reflections
        (layer, sprite, opacity) of each; their sprites come after the layers', with empty windows.
    """

    texels: Tensor
    sprites: Tensor
    rasters: Tensor
    windows: Tensor
    rows: Tensor
    gains: Tensor
    reflections: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class PackedSample:
    """A scene on its lattice and what the cameras do to its pictures; None for clean ones."""

    scene: PackedScene
    lattice: Lattice
    nuisances: Nuisances | None


@dataclass(frozen=True)
class RenderedBatch:
    """``left``, ``right`` uint8 (N, 3, H, W); ``disparity`` float32 px and ``occluded`` bool (N, 1, H, W)."""

    left: Tensor
    right: Tensor
    disparity: Tensor
    occluded: Tensor


def pack_scene(scene: Scene, sprites: list[Sprite], mirrored: list[Sprite], lattice: Lattice) -> PackedScene:
    """Tensors of a scene's baked layers and reflections."""
    together = [*sprites, *mirrored]
    values, rasters, first = [], [], 0
    for sprite in together:
        s = sprite.surface
        values.append([s.c, s.a, s.b, s.p, s.q, s.r, s.x0, s.y0, sprite.x0_px, sprite.y0_px, sprite.texels_per_px])
        height, width = sprite.rgba.shape[:2]
        rasters.append([first, width, height])
        first += width * height
    windows = np.zeros((2, len(together), 4), np.int64)
    for view in range(2):
        for number, sprite in enumerate(sprites):
            window = sprite_window(sprite, scene, lattice, right=view == 1)
            if window is not None:
                rows, columns = window.rows, window.cols
                windows[view, number] = rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start
    gains = torch.ones(2, len(together))
    if scene.right_gains:
        gains[1, : len(sprites)] = torch.tensor(scene.right_gains)
    scale = 1.0 / (1.0 - scene.vertical_scale)
    offset = scale * (scene.vertical_offset_px - scene.vertical_scale * scene.height_px / 2)
    return PackedScene(
        torch.from_numpy(np.concatenate([sprite.rgba.reshape(-1, 4) for sprite in together])),
        torch.tensor(values, dtype=torch.float32),
        torch.tensor(rasters),
        torch.from_numpy(windows),
        torch.tensor([[1.0, 0.0], [scale, offset]], dtype=torch.float32),
        gains,
        tuple((item.layer, len(sprites) + n, item.opacity) for n, item in enumerate(scene.reflections)),
    )


def render_batch(scenes: list[PackedScene], lattice: Lattice, device: torch.device) -> RenderedBatch:
    """Both views, left disparity and occlusion of the scenes, on the device."""
    batch = _Batch(scenes, lattice, device)
    rgb, disparities, layers = [], [], []
    for view in range(2):
        disparity, layer = batch.visible(view)
        rgb.append(_pixels(batch.colours(view, disparity, layer), lattice))
        disparities.append(disparity)
        layers.append(layer)
    first = lattice.offset
    step = slice(first, None, lattice.supersampling)
    occluded = batch.occluded(disparities, layers)
    return RenderedBatch(rgb[0], rgb[1], disparities[0][:, step, step][:, None], occluded[:, None])


def render_samples(samples: list[PackedSample], device: torch.device) -> RenderedBatch:
    """Samples of one lattice as `render_batch` renders them, a few scenes at a time, with the cameras' nuisances."""
    lattice = samples[0].lattice
    parts = [
        render_batch([sample.scene for sample in samples[first : first + _SCENES_AT_ONCE]], lattice, device)
        for first in range(0, len(samples), _SCENES_AT_ONCE)
    ]
    batch = RenderedBatch(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(RenderedBatch)))
    for number, sample in enumerate(samples):
        if sample.nuisances is not None:
            views = apply_torch_nuisances(batch.left[number], batch.right[number], sample.nuisances)
            batch.left[number], batch.right[number] = views
    return batch


class _Batch:
    """Tensors of several scenes, with indices into the whole."""

    def __init__(self, scenes: list[PackedScene], lattice: Lattice, device: torch.device) -> None:
        self.lattice = lattice
        self.count = len(scenes)
        texel_counts = [len(scene.texels) for scene in scenes]
        sprite_counts = [len(scene.sprites) for scene in scenes]
        texel_starts = np.cumsum([0, *texel_counts[:-1]])
        self.sprite_starts = np.cumsum([0, *sprite_counts[:-1]]).tolist()
        rasters = [
            scene.rasters + torch.tensor([int(start), 0, 0]) for scene, start in zip(scenes, texel_starts, strict=True)
        ]
        self.texels = torch.cat([scene.texels.to(device) for scene in scenes])
        self.sprites = torch.cat([scene.sprites for scene in scenes]).to(device)
        self.rasters = torch.cat(rasters).to(device)
        self.windows = torch.cat([scene.windows for scene in scenes], dim=1).to(device)
        self.gains = torch.cat([scene.gains for scene in scenes], dim=1).to(device)
        self.rows = torch.stack([scene.rows for scene in scenes]).to(device)
        self.scene_of = torch.repeat_interleave(torch.tensor(sprite_counts)).to(device)
        self.reflections = [
            (start + layer, start + sprite, opacity)
            for scene, start in zip(scenes, self.sprite_starts, strict=True)
            for layer, sprite, opacity in scene.reflections
        ]

    def visible(self, view: int) -> tuple[Tensor, Tensor]:
        """Disparity float32 and sprite int64 of every sample (N, h, w) of a view."""
        height, width = self.lattice.shape
        top, left, rows, columns = self.windows[view].unbind(-1)
        sizes = rows * columns
        sprite = torch.repeat_interleave(sizes)
        within = torch.arange(len(sprite), device=sprite.device) - (torch.cumsum(sizes, 0) - sizes)[sprite]
        row = top[sprite] + within // columns[sprite]
        column = left[sprite] + within % columns[sprite]
        scene = self.scene_of[sprite]
        values = self.sprites[sprite]
        x, y = self._position(view, scene, row, column)
        disparity, x_left = _surface(values, x, y, right=view == 1)
        inside = self._sample(sprite, values, x_left, y, slice(3, 4))[:, 0] >= 127.5
        inside &= disparity > 0  # the bits of positive floats are in their order
        key = (disparity.view(torch.int32).long() << 32) | sprite
        at = (scene * height + row) * width + column
        best = torch.zeros(self.count * height * width, dtype=torch.int64, device=key.device)
        best.scatter_reduce_(0, at[inside], key[inside], "amax")
        shape = self.count, height, width
        return (best >> 32).to(torch.int32).view(torch.float32).view(shape), (best & _LOW).view(shape)

    def colours(self, view: int, disparity: Tensor, layer: Tensor) -> Tensor:
        """RGB float32 (N, h, w, 3) in 0..255 of every sample, reflections blended in, under the view's light."""
        scene, row, column = (part.reshape(-1) for part in _indices(layer))
        x, y = self._position(view, scene, row, column)
        x_left = x + disparity.view(-1) if view else x
        sprite = layer.view(-1)
        rgb = self._sample(sprite, self.sprites[sprite], x_left, y, slice(0, 3))
        for mirror, mirrored, opacity in self.reflections:
            shown = torch.nonzero(sprite == mirror)[:, 0]
            picture = torch.full_like(shown, mirrored)
            values = self.sprites[picture]
            _, x_mirrored = _surface(values, x[shown], y[shown], right=view == 1)
            seen = self._sample(picture, values, x_mirrored, y[shown], slice(0, 4))
            blended = (1 - opacity) * rgb[shown] + opacity * seen[:, :3]
            rgb[shown] = torch.where(seen[:, 3:] >= 127.5, blended, rgb[shown])
        rgb *= self.gains[view, sprite][:, None]
        return rgb.clamp_(max=255.0).view(*layer.shape, 3)

    def occluded(self, disparities: list[Tensor], layers: list[Tensor]) -> Tensor:
        """As `rasterizer.occlusion_mask`: bool (N, H, W)."""
        ss, first = self.lattice.supersampling, self.lattice.offset
        step = slice(first, None, ss)
        disparity, layer = disparities[0][:, step, step], layers[0][:, step, step]
        scene, row, column = _indices(layer)
        x_right = column - disparity
        scale, offset = self.rows[scene, 1].unbind(-1)
        height, width = self.lattice.shape
        at_row = (torch.round((row - offset) / scale * ss).long() + first).clamp(0, height - 1)
        at_column = (torch.round(x_right * ss).long() + first).clamp(0, width - 1)
        covered = disparities[1][scene, at_row, at_column] > disparity + OCCLUDER_MARGIN_PX
        covered &= layers[1][scene, at_row, at_column] != layer
        outside = (x_right < -0.5) | (x_right > self.lattice.width_px - 0.5)
        return outside | covered | (self.sprites[layer, _A] > 1)

    def _position(self, view: int, scene: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """View x and left-view y, px, of samples."""
        ss, first = self.lattice.supersampling, self.lattice.offset
        scale, offset = self.rows[scene, view].unbind(-1)
        return (column - first).float() / ss, (row - first).float() / ss * scale + offset

    def _sample(self, sprite: Tensor, values: Tensor, x_left: Tensor, y: Tensor, channels: slice) -> Tensor:
        """Bilinear channels (M, k) in 0..255 of sprites at left-view positions, 0 outside the raster."""
        first, width, height = self.rasters[sprite].unbind(-1)
        u = ((x_left - values[:, _LEFT]) * values[:, _SCALE]).clamp(-2.0, 1e6)
        v = ((y - values[:, _TOP]) * values[:, _SCALE]).clamp(-2.0, 1e6)
        column, row = torch.floor(u), torch.floor(v)
        part_u, part_v = (u - column)[:, None], (v - row)[:, None]
        column, row = column.long(), row.long()
        total = torch.zeros((len(sprite), channels.stop - channels.start), device=u.device)
        for down in (0, 1):
            for across in (0, 1):
                i, j = column + across, row + down
                known = (i >= 0) & (i < width) & (j >= 0) & (j < height)
                at = torch.where(known, first + j * width + i, first)
                weight = (part_u if across else 1 - part_u) * (part_v if down else 1 - part_v)
                total += self.texels[at, channels].float() * (weight * known[:, None])
        return total


def _surface(values: Tensor, x: Tensor, y: Tensor, *, right: bool) -> tuple[Tensor, Tensor]:
    """Disparity and left-view x of surface points seen at view positions; see `Surface`."""
    v = y - values[:, _Y0]
    p, linear = values[:, _P], values[:, _A] + values[:, _Q] * v
    constant = values[:, _C] + (values[:, _B] + values[:, _R] * v) * v
    if not right:
        u = x - values[:, _X0]
        return (p * u + linear) * u + constant, x
    linear, constant = 1 - linear, constant + x - values[:, _X0]
    root = torch.sqrt((linear * linear - 4 * p * constant).clamp(min=0))
    x_left = 2 * constant / (linear + torch.where(p == 0, linear, root)) + values[:, _X0]
    return x_left - x, x_left


def _indices(grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scene, row and column (N, h, w) of each element."""
    scene, row, column = torch.meshgrid(*(torch.arange(n, device=grid.device) for n in grid.shape), indexing="ij")
    return scene, row, column


def _pixels(samples: Tensor, lattice: Lattice) -> Tensor:
    """Uint8 (N, 3, H, W) from samples (N, h, w, 3): [1 2 1]/4 either way, then pixel centres."""
    if lattice.supersampling == 2:
        samples = (samples[:, :-2:2] + 2 * samples[:, 1:-1:2] + samples[:, 2::2]) / 4
        samples = (samples[:, :, :-2:2] + 2 * samples[:, :, 1:-1:2] + samples[:, :, 2::2]) / 4
    return samples.round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2).contiguous()
