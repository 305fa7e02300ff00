"""A stereo pair with exact labels from a seed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from stereo_dp_ros.core.errors import DataError
from training.data.composer import FAMILIES, FEATURES, compose
from training.data.draft import log_uniform
from training.data.nuisances import NUISANCES, Nuisances, apply_nuisances, draw_nuisances
from training.data.paint import bake
from training.data.rasterizer import (
    Lattice,
    Sprite,
    ViewBuffers,
    blend_reflection,
    brighten,
    occlusion_mask,
    render_view,
    resolve,
)
from training.data.sample import StereoSample
from training.data.scene import Layer, Scene
from training.data.textures import TextureLibrary
from training.data.torch_rasterizer import PackedSample, pack_scene

__all__ = [
    "SceneConfig",
    "bake_scene",
    "default_texture_dir",
    "pack_sample",
    "render_buffers",
    "render_pair",
    "render_sample",
]

_NUISANCE_STREAM = 0x5EED
_DETAIL_STREAM = 0xDE7A11
_REMOVABLE = {*FAMILIES, *FEATURES, *NUISANCES, "vertical error"}


def default_texture_dir() -> Path | None:
    """``$STEREO_DP_DATA/textures``, by default beside the repository in ``shared/data``; None if there is none."""
    root = os.environ.get("STEREO_DP_DATA")
    folder = (Path(root) if root else Path(__file__).resolve().parents[3] / "shared" / "data") / "textures"
    return folder if folder.is_dir() else None


@dataclass(frozen=True)
class SceneConfig:
    """What to render.

    Attributes
    ----------
    width_px, height_px
        Size of the views.
    max_disparity_px
        The largest disparity of a scene is drawn log-uniformly from this range (at the rendered size).
    texture_dir
        Folder of photographs; None paints with procedural patterns only.
    nuisances
        Apply camera response, noise, compression, vertical error.
    detail
        Each scene is composed on a canvas a log-uniform number of times as large, from this range within 1 to 2, and
        shown reduced to the size asked for: smaller and more things, finer texture.  Disparities keep their range;
        vertical error, blur and noise are in px of the views.
    supersampling
        Samples per pixel along each axis, 1 or 2.
    family
        One of `composer.FAMILIES`; None draws one.
    without
        Names to leave out, for ablations: of `composer.FAMILIES`, `composer.FEATURES`, `nuisances.NUISANCES`,
        or "vertical error".
    """

    width_px: int = 640
    height_px: int = 320
    max_disparity_px: tuple[float, float] = (16.0, 160.0)
    texture_dir: Path | None = field(default_factory=default_texture_dir)
    nuisances: bool = True
    detail: tuple[float, float] = (1.0, 2.0)
    supersampling: int = 2
    family: str | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        low, high = self.max_disparity_px
        problems = []
        if self.width_px < 64 or self.height_px < 64:
            problems.append(f"size {self.width_px}x{self.height_px}, expected at least 64x64")
        if not 1.0 <= low <= high:
            problems.append(f"max_disparity_px {self.max_disparity_px}, expected 1 <= low <= high")
        if not 1.0 <= self.detail[0] <= self.detail[1] <= 2.0:
            problems.append(f"detail {self.detail}, expected 1 <= low <= high <= 2")
        if self.supersampling not in (1, 2):
            problems.append(f"supersampling {self.supersampling}, expected 1 or 2")
        if self.family is not None and self.family not in FAMILIES:
            problems.append(f"family {self.family!r}, expected one of {', '.join(FAMILIES)}")
        unknown = sorted(set(self.without) - _REMOVABLE)
        if unknown:
            problems.append(f"without {', '.join(unknown)}, expected some of {', '.join(sorted(_REMOVABLE))}")
        elif set(self.without) >= set(FAMILIES):
            problems.append("without every family of scenes")
        if problems:
            raise DataError("SceneConfig: " + "; ".join(problems))

    def identity(self) -> str:
        """A file name's worth of text that changes whenever the scenes do, but not with the place of the textures."""
        textures = TextureLibrary(self.texture_dir).identity
        return hashlib.sha256(repr((replace(self, texture_dir=None), textures)).encode()).hexdigest()[:16]


@lru_cache(maxsize=4)
def _library(folder: Path | None) -> TextureLibrary:
    return TextureLibrary(folder)


def bake_scene(scene: Scene, library: TextureLibrary) -> tuple[list[Sprite], list[Sprite]]:
    """Sprites of the scene's layers and of its reflections."""
    mirrored = [
        bake(Layer(item.surface, scene.layers[item.layer].reflected_box(item.surface), item.paint), library)
        for item in scene.reflections
    ]
    return [bake(layer, library) for layer in scene.layers], mirrored


def render_buffers(scene: Scene, lattice: Lattice, library: TextureLibrary) -> tuple[ViewBuffers, ViewBuffers]:
    """Samples of both views before filtering to pixels."""
    sprites, mirrored = bake_scene(scene, library)
    views = []
    for right in (False, True):
        view = render_view(sprites, scene, lattice, right=right)
        for item, sprite in zip(scene.reflections, mirrored, strict=True):
            blend_reflection(view, sprite, item.layer, item.opacity, scene, lattice, right=right)
        if right and scene.right_gains:
            brighten(view, scene.right_gains)
        views.append(view)
    return views[0], views[1]


@dataclass(frozen=True)
class _Rendered:
    """Samples of both views, and their pixels after the cameras."""

    scene: Scene
    lattice: Lattice
    left: ViewBuffers
    right: ViewBuffers
    left_rgb: np.ndarray
    right_rgb: np.ndarray

    def sample(self) -> StereoSample:
        disparity_px = self.lattice.centres(self.left.disparity_px).copy()
        hidden = occlusion_mask(self.left, self.right, self.lattice, self.scene)
        return StereoSample(self.left_rgb, self.right_rgb, disparity_px, hidden)

    def exchanged(self) -> StereoSample:
        disparity_px = self.lattice.centres(self.right.disparity_px)
        hidden = occlusion_mask(self.left, self.right, self.lattice, self.scene, of_right=True)
        parts = self.right_rgb, self.left_rgb, disparity_px, hidden
        return StereoSample(*(np.ascontiguousarray(part[:, ::-1]) for part in parts))


def render_sample(seed: int, config: SceneConfig) -> StereoSample:
    """The sample of a seed: the same arrays for the same (seed, config) and texture folder."""
    return _render(seed, config).sample()


def render_pair(seed: int, config: SceneConfig) -> tuple[StereoSample, StereoSample]:
    """The sample of a seed, and the same scene with its views exchanged: two samples for one rendering.

    Mirrored, the right view is the left view of the mirrored scene, and the right view's own disparity its label.
    """
    rendered = _render(seed, config)
    return rendered.sample(), rendered.exchanged()


def pack_sample(seed: int, config: SceneConfig) -> PackedSample:
    """The sample of a seed, baked and ready to be rendered on a device by `torch_rasterizer.render_samples`."""
    scene, library = _scene(seed, config)
    lattice = Lattice(config.width_px, config.height_px, config.supersampling)
    packed = pack_scene(scene, *bake_scene(scene, library), lattice)
    return PackedSample(packed, lattice, _nuisances(seed, config))


def _scene(seed: int, config: SceneConfig) -> tuple[Scene, TextureLibrary]:
    library = _library(Path(config.texture_dir) if config.texture_dir is not None else None)
    without = frozenset(config.without)
    level = not config.nuisances or "vertical error" in without
    scene = compose(
        seed,
        config.width_px,
        config.height_px,
        config.max_disparity_px,
        library,
        config.family,
        vertical_error_px=0.0 if level else 0.5,
        without=without,
        detail=log_uniform(np.random.default_rng((seed, _DETAIL_STREAM)), *config.detail),
    )
    return scene, library


def _nuisances(seed: int, config: SceneConfig) -> Nuisances | None:
    if not config.nuisances:
        return None
    rng = np.random.default_rng((seed, _NUISANCE_STREAM))
    return draw_nuisances(rng, config.width_px, config.height_px, frozenset(config.without))


def _render(seed: int, config: SceneConfig) -> _Rendered:
    scene, library = _scene(seed, config)
    lattice = Lattice(config.width_px, config.height_px, config.supersampling)
    left, right = render_buffers(scene, lattice, library)
    left_rgb, right_rgb = (np.ascontiguousarray(resolve(view.rgbx, lattice)[..., :3]) for view in (left, right))
    nuisances = _nuisances(seed, config)
    if nuisances is not None:
        left_rgb, right_rgb = apply_nuisances(left_rgb, right_rgb, nuisances)
    return _Rendered(scene, lattice, left, right, left_rgb, right_rgb)
