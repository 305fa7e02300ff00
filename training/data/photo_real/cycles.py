"""Both views of a scene and the left one's labels, by Cycles on the CPU."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

__all__ = ["CameraRig", "RenderSettings", "View", "labels", "light_of_view", "nearest_m"]

_PIXEL_CENTRE_FILTER = 0.01  # px, the narrowest that Cycles has: labels belong to the centre
_NEAREST_SHARE = 0.002  # of the pixels are nearer than what counts as the nearest surface


@dataclass(frozen=True)
class RenderSettings:
    """Size and effort.

    Attributes
    ----------
    width_px, height_px
        Of both views.
    samples
        Paths a pixel, before Intel's Open Image Denoise.
    threads
        CPU threads; the picture does not depend on them.
    denoise
        Whether to denoise.
    """

    width_px: int = 640
    height_px: int = 384
    samples: int = 6
    threads: int = 1
    denoise: bool = True


@dataclass(frozen=True)
class CameraRig:
    """A rectified pair of pinhole cameras: the left one is a Blender camera object, the right one stands on its x axis.

    Attributes
    ----------
    camera
        The left camera.
    focal_px
        Of both, at the width of the settings.
    baseline_m
        From the left to the right one.
    """

    camera: bpy.types.Object
    focal_px: float
    baseline_m: float

    def right_position(self) -> Vector:
        """Where the right camera stands."""
        return self.camera.matrix_world @ Vector((self.baseline_m, 0.0, 0.0))


@dataclass(frozen=True)
class View:
    """Labels of the left view: depth along the axis, float32 (H, W) in m with NaN for sky; bool (H, W) seen by both."""

    depth_m: np.ndarray
    visible_right: np.ndarray


def nearest_m(rig: CameraRig, settings: RenderSettings) -> float:
    """How near the left camera's view comes to a surface, a few pixels aside."""
    depth = labels(rig, settings).depth_m
    return float(np.nanquantile(depth, _NEAREST_SHARE))


def light_of_view(rig: CameraRig, settings: RenderSettings, seed: int, *, right: bool) -> np.ndarray:
    """What one camera sees, linear RGB, float32 (H, W, 3)."""
    scene = bpy.context.scene
    cycles = scene.cycles
    cycles.samples, cycles.seed = settings.samples, seed
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 6, 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0  # single bright paths leave blotches that differ between the views
    cycles.use_denoising, cycles.denoiser = settings.denoise, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_prefilter = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.denoising_quality = "BALANCED"
    os.environ["OIDN_NUM_THREADS"] = str(settings.threads)  # else all cores: they wait for each other
    scene.render.film_transparent = False
    return _render(rig, settings, right=right)[..., :3]


def labels(rig: CameraRig, settings: RenderSettings) -> View:
    """Depth at the pixels' centres and which of those points the right camera sees.

    One sample with one material on everything: it emits its depth in red and reflects in green the light of a lamp
    without size at the right camera, the only one lit; what that does not reach is hidden from there, or turned away.
    """
    scene, layer = bpy.context.scene, bpy.context.view_layer
    cycles = scene.cycles
    cycles.samples, cycles.seed, cycles.use_denoising = 1, 0, False
    cycles.pixel_filter_type, cycles.filter_width = "GAUSSIAN", _PIXEL_CENTRE_FILTER
    cycles.max_bounces, cycles.sample_clamp_indirect = 0, 0.0
    scene.render.film_transparent = True
    lamp = bpy.data.objects.new("right camera", bpy.data.lights.new("right camera", "POINT"))
    lamp.data.shadow_soft_size, lamp.data.energy = 0.0, 1e6
    lamp.location = rig.right_position()
    scene.collection.objects.link(lamp)
    lit = [thing for thing in scene.objects if thing.type == "LIGHT" and thing is not lamp and not thing.hide_render]
    world, layer.material_override, scene.world = scene.world, _label_material(), None
    for light in lit:
        light.hide_render = True
    try:
        red, green, _, alpha = np.moveaxis(_render(rig, settings, right=False), -1, 0)
    finally:
        scene.world, layer.material_override = world, None
        for light in lit:
            light.hide_render = False
        bpy.data.lights.remove(lamp.data)
    depth = np.where(alpha > 0.5, red, np.nan).astype(np.float32)
    with np.errstate(invalid="ignore"):
        x_right = np.arange(settings.width_px) - rig.focal_px * rig.baseline_m / depth
        return View(depth, (green > 0) & (x_right > -0.5))


def _label_material() -> bpy.types.Material:
    found = bpy.data.materials.get("labels")
    if found is not None:
        return found
    material = bpy.data.materials.new("labels")
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"  # else surfaces count among the lamps
    nodes, link = material.node_tree.nodes, material.node_tree.links.new
    nodes.clear()
    camera, channels = nodes.new("ShaderNodeCameraData"), nodes.new("ShaderNodeCombineColor")
    emission, diffuse = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeBsdfDiffuse")
    both, output = nodes.new("ShaderNodeAddShader"), nodes.new("ShaderNodeOutputMaterial")
    diffuse.inputs["Color"].default_value = (0.0, 1.0, 0.0, 1.0)
    link(camera.outputs["View Z Depth"], channels.inputs["Red"])
    link(channels.outputs["Color"], emission.inputs["Color"])
    link(emission.outputs[0], both.inputs[0])
    link(diffuse.outputs[0], both.inputs[1])
    link(both.outputs[0], output.inputs["Surface"])
    return material


def _render(rig: CameraRig, settings: RenderSettings, *, right: bool) -> np.ndarray:
    """RGBA, float32 (H, W, 4), rows from the top."""
    scene = bpy.context.scene
    render, camera = scene.render, rig.camera
    render.engine, scene.camera, scene.cycles.device = "CYCLES", camera, "CPU"
    render.threads_mode, render.threads = "FIXED", settings.threads
    render.resolution_x, render.resolution_y, render.resolution_percentage = settings.width_px, settings.height_px, 100
    render.use_persistent_data = True
    scene.cycles.use_adaptive_sampling = False
    camera.data.sensor_fit, camera.data.sensor_width = "HORIZONTAL", 36.0
    camera.data.lens = rig.focal_px * 36.0 / settings.width_px
    camera.data.clip_start, camera.data.clip_end = 0.01, 10_000.0
    image_format = render.image_settings
    image_format.file_format, image_format.color_mode, image_format.color_depth = "OPEN_EXR", "RGBA", "32"
    image_format.exr_codec = "NONE"
    before = camera.matrix_world.copy()
    if right:
        camera.matrix_world.translation = rig.right_position()
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            render.filepath = str(Path(folder) / "view.exr")
            with _interrupted_after():
                bpy.ops.render.render(write_still=True)
            image = bpy.data.images.load(render.filepath)
            pixels = np.empty(4 * settings.width_px * settings.height_px, np.float32)
            image.pixels.foreach_get(pixels)
            bpy.data.images.remove(image)
    finally:
        camera.matrix_world = before
    return np.ascontiguousarray(pixels.reshape(settings.height_px, settings.width_px, 4)[::-1])


@contextlib.contextmanager
def _interrupted_after() -> Iterator[None]:
    """Ctrl-C takes effect at the end: inside, Blender would swallow it and leave half a picture."""
    signals: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if signals:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that Blender itself, not Python, writes to stdout."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
