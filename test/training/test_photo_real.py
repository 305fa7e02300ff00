"""The reader and the command, everywhere; what Blender renders, where bpy is installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_image
from stereo_dp_ros.core.pairs import find_pairs
from training.config import DataConfig
from training.data.files import FileScenes
from training.data.photo_real import __main__ as command
from training.data.photo_real.files import find_photo_real, is_written, write_scene
from training.data.photo_real.film import auto_exposure, develop
from training.data.sample import StereoSample
from training.data.textures import TextureLibrary
from training.sources import build_scenes, held_out_pairs

needs_bpy = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")


def sample(seed: int = 0) -> StereoSample:
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, 6, 8, 3), np.uint8)
    disparity = rng.integers(1, 2000, (6, 8)).astype(np.float32) / 256
    disparity[0, 0] = np.nan
    occluded = rng.random((6, 8)) < 0.3
    occluded[0, 0] = False
    return StereoSample(left, right, disparity, occluded)


def test_a_written_scene_comes_back_exactly(tmp_path: Path) -> None:
    pair = sample()
    folder = write_scene(tmp_path, 7, pair, focal_px=6.5, baseline_m=0.125)
    assert folder == tmp_path / "photo_real" / "000007" and is_written(tmp_path, 7) and not is_written(tmp_path, 8)
    scenes = build_scenes(DataConfig(source="photo_real", root=str(tmp_path)))
    assert isinstance(scenes, FileScenes)
    read = scenes.files[0].read()
    for field in dataclasses.fields(StereoSample):
        assert np.array_equal(
            getattr(read, field.name), getattr(pair, field.name), equal_nan=field.name == "disparity_px"
        )
    assert torch.equal(scenes[3]["occluded"][0], torch.from_numpy(pair.occluded))
    (found,) = find_pairs(tmp_path)
    assert (found.set_name, found.scene) == ("photo_real", "000007")
    assert np.array_equal(found.ground_truth_px(), pair.disparity_px, equal_nan=True)
    assert (folder / "calib.txt").read_text().splitlines() == [
        "cam0=[6.500000 0 3.5; 0 6.500000 2.5; 0 0 1]",
        "cam1=[6.500000 0 3.5; 0 6.500000 2.5; 0 0 1]",
        "doffs=0",
        "baseline=125.000000",
        "width=8",
        "height=6",
        f"ndisp={int(np.nanmax(pair.disparity_px)) + 1}",
    ]


def test_the_number_alone_says_what_is_held_out(tmp_path: Path) -> None:
    for number in (3, 4, 5, 14, 20):
        write_scene(tmp_path, number, sample(number), 6.5, 0.1)
    assert [files.name for files in find_photo_real(tmp_path)] == ["000003", "000005", "000020"]
    held_out = held_out_pairs(DataConfig(source="photo_real", root=str(tmp_path)), 5)
    assert [pair.scene for pair in held_out] == ["000004", "000014"]
    assert np.array_equal(held_out[1].ground_truth_px(), sample(14).disparity_px, equal_nan=True)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks the folder photo_real, expected ROOT/photo_real/000000/"):
        find_photo_real(tmp_path)
    folder = write_scene(tmp_path, 0, sample(), 6.5, 0.1)
    with pytest.raises(DataError, match="holds no pair"):
        find_photo_real(tmp_path, "validation")
    (folder / "nocc0.png").unlink()
    with pytest.raises(DataError, match="lacks photo_real/000000/nocc0.png; expected"):
        find_photo_real(tmp_path)
    folder.rename(folder.with_name("kitchen"))
    with pytest.raises(DataError, match="kitchen: is no scene's number"):
        find_photo_real(tmp_path)


def test_without_bpy_the_command_ends_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.main([str(tmp_path)]) == 2
    said = (
        "training.data.photo_real: bpy is not installed: pip install -r requirements/photo-real.txt, with Python 3.11\n"
    )
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("option", "value", "least"), [("--scenes", "0", 1), ("--width", "-4", 1), ("--seed", "-1", 0)]
)
def test_a_wrong_number_is_one_line(capsys: pytest.CaptureFixture[str], option: str, value: str, least: int) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["out", option, value])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(
        f"training.data.photo_real: {option} is {value}, expected at least {least} "
    )


def test_the_film_brings_the_mean_to_its_key() -> None:
    light = np.full((4, 5, 3), 0.02, np.float32)
    assert auto_exposure(light, 0.18) == pytest.approx(9.0, rel=1e-5)
    # Narkowicz's curve at 0.18: 0.18 (2.51 · 0.18 + 0.03) / (0.18 (2.43 · 0.18 + 0.59) + 0.14) = 0.26690, 140.9 in sRGB
    rng = np.random.default_rng(0)
    assert np.unique(develop(light, 9.0, 0.0, rng)).tolist() == [141]
    assert develop(np.array([[[0.0, 1e3, -1.0]]], np.float32), 1.0, 0.0, rng).tolist() == [[[0, 255, 0]]]
    noisy = develop(np.full((100, 100, 3), 0.02, np.float32), 9.0, 2.0, rng).astype(float)
    assert noisy.std() == pytest.approx(2 * math.sqrt(0.25 + 140.9 / 170), rel=0.03)


@pytest.fixture
def blender() -> Any:
    """An empty scene with a camera at the origin that looks along -z, as Blender's do."""
    import bpy

    from training.data.photo_real.cycles import CameraRig, RenderSettings
    from training.data.photo_real.stage import Stage

    @dataclasses.dataclass
    class World:
        stage: Stage
        rig: CameraRig
        settings: RenderSettings
        diffuse: bpy.types.Material

        def plane(self, depth: float, half: float, x: float = 0.0, slope: float = 0.0) -> None:
            """z = -(depth + slope x), a square about x."""
            corners = [(x + u * half, v * half) for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            self.stage.mesh(
                [(a, b, -depth - slope * a) for a, b in corners], [(0, 1, 2, 3)], self.diffuse, smooth=False
            )

    stage = Stage()
    material = bpy.data.materials.new("diffuse")
    material.use_nodes = True
    nodes, link = material.node_tree.nodes, material.node_tree.links.new
    nodes.clear()
    noise, coordinates = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeTexCoord")
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 2.5, 0.0
    shader, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
    link(coordinates.outputs["Object"], noise.inputs["Vector"])
    link(noise.outputs["Color"], shader.inputs["Color"])
    link(shader.outputs[0], output.inputs["Surface"])
    camera = stage.camera((0.0, 0.0, 0.0), 0.0, -math.pi / 2)
    rig = CameraRig(camera, focal_px=150.0, baseline_m=0.2)
    return World(stage, rig, RenderSettings(160, 96, samples=32, denoise=False), material)


def disparity_px(world: Any, view: Any) -> np.ndarray:
    return world.rig.focal_px * world.rig.baseline_m / view.depth_m


@needs_bpy
def test_a_plane_has_one_disparity(blender: Any) -> None:
    from training.data.photo_real.cycles import labels

    blender.plane(2.5, 50.0)
    view = labels(blender.rig, blender.settings)
    assert np.abs(disparity_px(blender, view) - 12.0).max() < 1e-4
    assert np.array_equal(view.visible_right, np.broadcast_to(np.arange(160) >= 12, (96, 160)))


@needs_bpy
def test_a_slanted_plane_is_labelled_at_pixel_centres(blender: Any) -> None:
    from training.data.photo_real.cycles import labels

    blender.plane(3.0, 200.0, slope=0.8)
    view = labels(blender.rig, blender.settings)
    # z = depth + slope x and x = (u - cx) z / f, so 1 / z = (1 - slope (u - cx) / f) / depth
    expected = 150.0 * 0.2 / 3.0 * (1 - 0.8 * (np.arange(160) - 79.5) / 150.0)
    assert np.abs(disparity_px(blender, view) - expected).max() < 1e-3  # the narrowest filter is 0.01 px wide


@needs_bpy
def test_occlusion_is_the_geometric_one(blender: Any) -> None:
    from training.data.photo_real.cycles import labels

    blender.plane(4.0, 50.0)
    blender.plane(2.0, 0.29, x=0.1)
    view = labels(blender.rig, blender.settings)
    x, y = np.meshgrid((np.arange(160) - 79.5) / 150, (np.arange(96) - 47.5) / 150)
    near = (np.abs(2 * x - 0.1) < 0.29) & (np.abs(2 * y) < 0.29)
    # The ray from the far plane at 4 m to the right camera passes the near plane's depth half way.
    hidden = ~near & (np.abs((4 * x + 0.2) / 2 - 0.1) < 0.29) & (np.abs(2 * y) < 0.29)
    disparity = np.where(near, 15.0, 7.5)
    assert np.abs(disparity_px(blender, view) - disparity).max() < 1e-4
    assert np.array_equal(view.visible_right, ~hidden & (np.arange(160) - disparity > -0.5))


@needs_bpy
def test_sky_has_no_label(blender: Any) -> None:
    from training.data.photo_real.cycles import labels

    blender.plane(2.0, 0.29, x=0.013)
    view = labels(blender.rig, blender.settings)
    x, y = np.meshgrid((np.arange(160) - 79.5) / 150, (np.arange(96) - 47.5) / 150)
    seen = (np.abs(2 * x - 0.013) < 0.29) & (np.abs(2 * y) < 0.29)
    assert np.array_equal(np.isfinite(view.depth_m), seen)
    assert np.array_equal(view.visible_right, seen)


@needs_bpy
def test_the_right_view_warped_by_the_disparity_is_the_left(blender: Any) -> None:
    from training.data.photo_real.cycles import labels, light_of_view

    blender.plane(3.0, 50.0, slope=0.3)
    blender.stage.ball(0.35, blender.diffuse, at=(0.1, 0.0, -2.3))
    blender.stage.sun(3.0, (1.0, 1.0, 1.0), turn=(0.2, 0.3, 0.0))
    view = labels(blender.rig, blender.settings)
    left, right = (light_of_view(blender.rig, blender.settings, side, right=bool(side)) for side in (0, 1))
    disparity = disparity_px(blender, view).astype(np.float32)
    x, y = np.meshgrid(np.arange(160, dtype=np.float32), np.arange(96, dtype=np.float32))
    warped = cv2.remap(right, x - disparity, y, cv2.INTER_CUBIC)
    # Away from edges, whose pixels are mixed, and from shadows' edges, which the same test sees.
    edges = np.abs(cv2.Laplacian(disparity, cv2.CV_32F)) > 0.05
    inner = cv2.erode((view.visible_right & ~edges & (x > disparity + 1)).astype(np.uint8), np.ones((7, 7))) > 0
    assert inner.mean() > 0.6
    difference = (left - warped)[inner]
    assert np.abs(difference).mean() < 0.01 * left[inner].mean()
    # One Gauss-Newton step: by how many pixels the labels are off.
    slope = (np.gradient(left, axis=1))[inner]
    assert abs((slope * difference).sum() / (slope**2).sum()) < 0.02


@needs_bpy
def test_a_scene_is_the_same_by_its_number_and_evaluates(tmp_path: Path) -> None:
    from training.data.photo_real.compose import render_scene
    from training.data.photo_real.cycles import RenderSettings

    small = ["--width", "96", "--height", "64", "--samples", "1", "--procedural"]
    assert command.main([str(tmp_path), "--scenes", "2", "--seed", "2", *small]) == 0
    pairs = find_pairs(tmp_path)
    assert [pair.scene for pair in pairs] == ["000002", "000003"]
    for pair, number in zip(pairs, (2, 3), strict=True):
        again = render_scene(number, RenderSettings(96, 64, samples=1, threads=2), TextureLibrary(None))
        for found, expected in zip(pair.images(), (again.sample.left, again.sample.right), strict=True):
            assert np.array_equal(found, expected)
        assert np.nanmax(np.abs(pair.ground_truth_px() - again.sample.disparity_px)) <= 1 / 256
        seen = read_image(pair.path / "nocc0.png")
        assert np.array_equal(seen == 128, again.sample.occluded)
        assert np.array_equal(seen == 0, np.isnan(again.sample.disparity_px))
        assert (seen == 255).mean() > 0.4 and np.nanmax(again.sample.disparity_px) > 16 * 96 / 640
    changed = (tmp_path / "photo_real" / "000002" / "im0.png").stat().st_mtime_ns
    assert command.main([str(tmp_path), "--scenes", "1", "--seed", "2", *small]) == 0
    assert (tmp_path / "photo_real" / "000002" / "im0.png").stat().st_mtime_ns == changed


@needs_bpy
def test_an_interrupt_while_blender_renders_is_not_lost(blender: Any) -> None:
    import bpy

    from training.data.photo_real.cycles import labels

    bpy.app.handlers.render_pre.append(lambda *_: os.kill(os.getpid(), signal.SIGINT))
    blender.plane(2.5, 50.0)
    with pytest.raises(KeyboardInterrupt):
        labels(blender.rig, blender.settings)
