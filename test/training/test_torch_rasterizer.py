"""The batched torch renderer shows the same scenes as the NumPy one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.data.composer import FAMILIES, compose  # noqa: E402
from training.data.procedural import SceneConfig, bake_scene, pack_sample, render_buffers, render_sample  # noqa: E402
from training.data.rasterizer import Lattice, occlusion_mask, resolve  # noqa: E402
from training.data.scene import Paint, Reflection  # noqa: E402
from training.data.surface import Surface  # noqa: E402
from training.data.textures import TextureLibrary  # noqa: E402
from training.data.torch_rasterizer import pack_scene, render_batch, render_samples  # noqa: E402

WIDTH, HEIGHT = 128, 64
NO_PHOTOS = TextureLibrary(None)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("supersampling", [1, 2])
def test_batch_equals_the_numpy_renderer(device: str, supersampling: int) -> None:
    lattice = Lattice(WIDTH, HEIGHT, supersampling)
    scenes = [compose(seed, WIDTH, HEIGHT, (16.0, 60.0), NO_PHOTOS, family) for family in FAMILIES for seed in (7, 8)]
    mirrored = Reflection(0, Surface(3.0), Paint("pattern:fractal", 1, shade=0.0), 0.4)
    scenes = [replace(scene, reflections=(mirrored,)) for scene in scenes]
    scenes[0] = replace(scenes[0], right_gains=tuple(np.linspace(0.3, 2.0, len(scenes[0].layers)).tolist()))
    assert any(scene.vertical_offset_px for scene in scenes)
    packed = [pack_scene(scene, *bake_scene(scene, NO_PHOTOS), lattice) for scene in scenes]
    batch = render_batch(packed, lattice, torch.device(device))
    assert batch.left.shape == (len(scenes), 3, HEIGHT, WIDTH) and batch.left.dtype == torch.uint8
    for number, scene in enumerate(scenes):
        left, right = render_buffers(scene, lattice, NO_PHOTOS)
        # OpenCV interpolates in steps of 1/32 texel: a thin line's edge may fall on either side of one half
        d = lattice.centres(left.disparity_px)
        off = np.abs(batch.disparity[number, 0].cpu().numpy() - d) > 1e-3
        assert off.mean() <= 0.005, scene.family
        hidden = occlusion_mask(left, right, lattice, scene)
        assert (batch.occluded[number, 0].cpu().numpy() != hidden).mean() <= 0.01, scene.family
        for view, images in ((left, batch.left), (right, batch.right)):
            expected = resolve(view.rgbx, lattice)[..., :3].astype(int)
            difference = np.abs(images[number].permute(1, 2, 0).cpu().numpy().astype(int) - expected).max(2)
            # colours are rounded after every step there, once at the end here; more than 6 levels is such an edge
            assert difference.mean() <= 1.0 and (difference > 6).mean() <= 0.01, scene.family


@pytest.mark.parametrize("device", DEVICES)
def test_samples_of_the_seeds_are_the_same(device: str) -> None:
    """From seed to nuisances, compression aside: that rounds small differences up."""
    config = SceneConfig(WIDTH, HEIGHT, (16.0, 60.0), None, without=("jpeg",))
    batch = render_samples([pack_sample(seed, config) for seed in range(9)], torch.device(device))
    for seed in range(9):
        sample = render_sample(seed, config)
        assert (np.abs(batch.disparity[seed, 0].cpu().numpy() - sample.disparity_px) > 1e-3).mean() <= 0.01
        assert (batch.occluded[seed, 0].cpu().numpy() != sample.occluded).mean() <= 0.01
        for expected, images in ((sample.left, batch.left), (sample.right, batch.right)):
            difference = np.abs(images[seed].permute(1, 2, 0).cpu().numpy().astype(int) - expected)
            assert difference.mean() <= 1.0 and (difference > 10).mean() <= 0.02, seed


def test_scenes_of_a_batch_do_not_mix() -> None:
    lattice = Lattice(WIDTH, HEIGHT, 1)
    scenes = [compose(seed, WIDTH, HEIGHT, (16.0, 60.0), NO_PHOTOS) for seed in (20, 21, 22)]
    packed = [pack_scene(scene, *bake_scene(scene, NO_PHOTOS), lattice) for scene in scenes]
    together = render_batch(packed, lattice, torch.device("cpu"))
    for number, scene in enumerate(packed):
        alone = render_batch([scene], lattice, torch.device("cpu"))
        for name in ("left", "right", "disparity", "occluded"):
            assert torch.equal(getattr(together, name)[number], getattr(alone, name)[0]), name
