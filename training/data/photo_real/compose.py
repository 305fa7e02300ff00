"""A scene by its number: built, looked at from two cameras, labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy
import numpy as np

from training.data.photo_real.cycles import CameraRig, RenderSettings, labels, light_of_view, nearest_m
from training.data.photo_real.film import auto_exposure, develop
from training.data.photo_real.grounds import ground
from training.data.photo_real.materials import Looks
from training.data.photo_real.rooms import room, tabletop
from training.data.photo_real.stage import Stage
from training.data.sample import StereoSample
from training.data.textures import TextureLibrary

__all__ = ["DISPARITY_PX", "PhotoRealPair", "render_scene"]

DISPARITY_PX = (16.0, 100.0)
"""Range of the largest disparity of a scene, at a width of 640 px; drawn log-uniformly."""
_KINDS = (room, tabletop, room, ground)
_PICTURE_STREAM = 1


@dataclass(frozen=True)
class PhotoRealPair:
    """A rendered pair and the cameras that it was taken with."""

    sample: StereoSample
    focal_px: float
    baseline_m: float


def render_scene(number: int, settings: RenderSettings, library: TextureLibrary) -> PhotoRealPair:
    """Scene `number`: the same picture each time with the same settings, textures and release of Blender."""
    rng = np.random.default_rng(number)
    stage = Stage()
    camera = _KINDS[number % len(_KINDS)](stage, Looks(rng, library), rng)
    bpy.context.view_layer.update()
    rig = _rig(camera, settings, np.random.default_rng((number, _PICTURE_STREAM)))
    return photograph(rig, settings, number)


def photograph(rig: CameraRig, settings: RenderSettings, seed: int) -> PhotoRealPair:
    """Both views of the current Blender scene with the left one's labels."""
    view = labels(rig, settings)
    # Each view has seeds of its own: paths that are noisy alike would look like texture at infinity.
    light = [light_of_view(rig, settings, 2 * seed + side, right=bool(side)) for side in (0, 1)]
    rng = np.random.default_rng((seed, _PICTURE_STREAM, 1))
    exposure, noise = auto_exposure(light[0], rng.uniform(0.12, 0.24)), rng.uniform(0.6, 1.8)
    left, right = (develop(one, exposure, noise, rng) for one in light)
    disparity = (rig.focal_px * rig.baseline_m / view.depth_m).astype(np.float32)
    known = ~np.isnan(disparity)
    return PhotoRealPair(
        StereoSample(left, right, disparity, known & ~view.visible_right), rig.focal_px, rig.baseline_m
    )


def _rig(camera: bpy.types.Object, settings: RenderSettings, rng: np.random.Generator) -> CameraRig:
    """Cameras as far apart as gives the drawn disparity at what is nearest."""
    focal = rng.uniform(0.8, 1.2) * settings.width_px
    largest = float(np.exp(rng.uniform(*np.log(DISPARITY_PX)))) * settings.width_px / 640
    rig = CameraRig(camera, focal, 0.0)
    return replace(rig, baseline_m=largest * nearest_m(rig, settings) / focal)
