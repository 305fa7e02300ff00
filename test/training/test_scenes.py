"""Procedural scenes: exact geometry, determinism, ranges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stereo_dp_ros.core.errors import DataError  # noqa: E402
from training.data import (  # noqa: E402
    ProceduralScenes,
    SceneConfig,
    StereoSample,
    preview,  # noqa: E402
    render_pair,
    render_sample,
    to_tensors,
)
from training.data.composer import FAMILIES, compose, draw_range  # noqa: E402
from training.data.draft import Draft  # noqa: E402
from training.data.hard_cases import HARD_CASES  # noqa: E402
from training.data.nuisances import NUISANCES  # noqa: E402
from training.data.paint import bake  # noqa: E402
from training.data.procedural import render_buffers  # noqa: E402
from training.data.rasterizer import (  # noqa: E402
    OCCLUDER_MARGIN_PX,
    Lattice,
    occlusion_mask,
    resolve,
)
from training.data.scene import Layer, Paint, Reflection, Scene  # noqa: E402
from training.data.solids import add_cuboid  # noqa: E402
from training.data.surface import Surface  # noqa: E402
from training.data.textures import TextureLibrary  # noqa: E402

WIDTH, HEIGHT = 256, 128
RANGE = (16.0, 80.0)
NO_PHOTOS = TextureLibrary(None)
SMALL = SceneConfig(width_px=WIDTH, height_px=HEIGHT, max_disparity_px=RANGE, texture_dir=None)


def _scene(seed: int, family: str, detail: float = 1.0):
    return compose(seed, WIDTH, HEIGHT, RANGE, NO_PHOTOS, family, vertical_error_px=0.0, detail=detail)


@pytest.mark.parametrize(
    "surface",
    [
        Surface(20.0),
        Surface(20.0, 0.4, -0.2, x0=100.0, y0=50.0),
        Surface(40.0, 0.1, 0.05, -1e-3, 5e-4, 1e-3, x0=100.0, y0=50.0),
        Surface(40.0, -0.3, 0.1, 1e-3, -1e-3, 0.0, x0=100.0, y0=50.0),
    ],
)
def test_surface_inverse_is_exact(surface: Surface) -> None:
    x, y = np.meshgrid(np.linspace(0, 200, 101), np.linspace(0, 100, 51))
    x_right = x - surface.disparity(x, y)
    np.testing.assert_allclose(surface.left_x(x_right, y), x, atol=1e-9)


def test_fitted_surface_keeps_range_and_slope() -> None:
    steep = Surface(10.0, 3.0, 1.0, 0.05, 0.01, 0.02, x0=50.0, y0=50.0).fitted((0, 0, 100, 100), 5.0, 30.0)
    x, y = np.meshgrid(np.linspace(0, 100, 301), np.linspace(0, 100, 301))
    d = steep.disparity(x, y)
    assert d.min() >= 5.0 and d.max() <= 30.0
    assert np.abs(np.diff(d, axis=1)).max() / (x[0, 1] - x[0, 0]) <= 0.6 + 1e-6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("seed", "detail"), [(1, 1.0), (2, 1.0), (1, 1.5), (2, 2.0)])
@pytest.mark.parametrize("of_right", [False, True])
def test_warped_ramp_is_the_other_view_s(family: str, seed: int, detail: float, of_right: bool) -> None:
    """Every surface carries its own x in one view as its texture; between samples of one layer the warp is exact."""
    scene, lattice = _scene(seed, family, detail), Lattice(WIDTH, HEIGHT, 2)
    left, right = render_buffers(scene, lattice, NO_PHOTOS)
    hidden = occlusion_mask(left, right, lattice, scene, of_right=of_right)
    view, other, sign = (right, left, 1) if of_right else (left, right, -1)
    x_samples = (np.arange(lattice.shape[1], dtype=np.float64) - lattice.offset) / 2
    row = slice(lattice.offset, None, 2)
    ramp, other_layer = (x_samples - sign * other.disparity_px)[row], other.index[row]
    layer = lattice.centres(view.index)

    position = (np.arange(WIDTH)[None, :] + sign * lattice.centres(view.disparity_px).astype(np.float64)) * 2 + 1
    low = np.clip(np.floor(position).astype(int), 1, lattice.shape[1] - 3)
    part, rows = position - low, np.arange(HEIGHT)[:, None]
    warped = np.zeros(layer.shape)
    checked = ~hidden & (position >= 1) & (position <= lattice.shape[1] - 2)
    for step in (-1, 0, 1, 2):  # cubic through four samples: bent surfaces stretch the ramp unevenly
        weight = np.prod([(part - k) / (step - k) for k in (-1, 0, 1, 2) if k != step], axis=0)
        warped += weight * ramp[rows, low + step]
        checked &= other_layer[rows, low + step] == layer
    assert checked.sum() > 0.7 * (~hidden).sum()
    assert np.abs(warped - np.arange(WIDTH)[None, :])[checked].max() <= 1e-3


def test_warped_pixels_of_planes_are_exact() -> None:
    """As above after filtering to pixels and with linear interpolation, which is exact on planes."""
    scene, lattice = _scene(1, "room"), Lattice(WIDTH, HEIGHT, 2)
    left, right = render_buffers(scene, lattice, NO_PHOTOS)
    x_samples = (np.arange(lattice.shape[1], dtype=np.float64) - lattice.offset) / 2
    ramp_right = resolve(x_samples[None, :] + right.disparity_px, lattice)
    layer = lattice.centres(left.index)
    planar = np.array([item.surface.planar for item in scene.layers])[layer]
    x_right = np.arange(WIDTH)[None, :] - lattice.centres(left.disparity_px).astype(np.float64)
    low = np.clip(np.floor(x_right).astype(int), 0, WIDTH - 2)
    part, rows = x_right - low, np.arange(HEIGHT)[:, None]
    warped = ramp_right[rows, low] * (1 - part) + ramp_right[rows, low + 1] * part
    pure, layer_right = _pure(right.index, lattice), lattice.centres(right.index)
    checked = planar & (x_right >= 0) & (x_right <= WIDTH - 1) & ~occlusion_mask(left, right, lattice, scene)
    for column in (low, low + 1):
        checked &= pure[rows, column] & (layer_right[rows, column] == layer)
    assert checked.sum() > 0.3 * layer.size
    assert np.abs(warped - np.arange(WIDTH)[None, :])[checked].max() <= 1e-3


def _pure(index: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Pixels whose 3 x 3 samples show one layer."""
    kernel = np.ones((3, 3), np.uint8)
    same = cv2.dilate(index, kernel) == cv2.erode(index, kernel)
    return lattice.centres(same)


@pytest.mark.parametrize(("detail", "of_right"), [(1.0, False), (1.5, False), (1.5, True)])
@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_is_the_geometric_one(family: str, detail: float, of_right: bool) -> None:
    """Against every layer's surface and outline at the exact match, without the other view's buffers."""
    scene, lattice = _scene(3, family, detail), Lattice(WIDTH, HEIGHT, 2)
    left, right = render_buffers(scene, lattice, NO_PHOTOS)
    hidden = occlusion_mask(left, right, lattice, scene, of_right=of_right)
    view = right if of_right else left
    d = lattice.centres(view.disparity_px)
    index = lattice.centres(view.index)
    y = np.broadcast_to(np.arange(HEIGHT, dtype=np.float32)[:, None], d.shape)
    x_other = np.arange(WIDTH, dtype=np.float32)[None, :] + (d if of_right else -d)
    turned = np.array([layer.surface.a > 1 for layer in scene.layers])  # the right view sees their back
    expected = (x_other < -0.5) | (x_other > WIDTH - 0.5) | turned[index]
    uncertain = np.zeros_like(expected)
    for number, layer in enumerate(scene.layers):
        sprite = bake(layer, NO_PHOTOS)
        alpha = np.ascontiguousarray(sprite.rgba[..., 3])
        covers = []
        for nudge, lift in ((0.0, 0.0), (-0.3, 0.0), (-0.15, 0.0), (0.15, 0.0), (0.3, 0.0), (0.0, -0.05), (0.0, 0.05)):
            x = x_other + nudge if of_right else layer.surface.left_x(x_other + nudge, y + lift)
            tx, ty = (x - sprite.x0_px) * sprite.texels_per_px, (y + lift - sprite.y0_px) * sprite.texels_per_px
            inside = cv2.remap(alpha, tx, ty, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > 127
            front = layer.surface.disparity(x, y + lift) > d + OCCLUDER_MARGIN_PX
            covers.append(inside & front & (index != number))
        expected |= covers[0]
        uncertain |= np.any(covers[1:] != covers[0], axis=0)
    # within 0.3 px of a silhouette the nearest half-pixel sample may fall on its other side
    assert uncertain.mean() < 0.2
    np.testing.assert_array_equal(hidden[~uncertain], expected[~uncertain])


def test_exchanged_views_are_a_sample_of_their_own() -> None:
    """Exactly the mirrored images, and a label that leads from each to the other and back where it is visible."""
    sample, exchanged = render_pair(5, replace(SMALL, without=("vertical error",)))
    for name in ("left", "right", "disparity_px", "occluded"):
        np.testing.assert_array_equal(
            getattr(sample, name), getattr(render_sample(5, replace(SMALL, without=("vertical error",))), name)
        )
    np.testing.assert_array_equal(exchanged.left, sample.right[:, ::-1])
    np.testing.assert_array_equal(exchanged.right, sample.left[:, ::-1])
    assert exchanged.disparity_px.shape == (HEIGHT, WIDTH) and exchanged.occluded.mean() < 0.6
    x, rows = np.arange(WIDTH)[None, :], np.arange(HEIGHT)[:, None]
    match = np.rint(WIDTH - 1 - (x - exchanged.disparity_px)).astype(int)  # column of the first sample's left view
    back = sample.disparity_px[rows, np.clip(match, 0, WIDTH - 1)]
    assert np.median(np.abs(back - exchanged.disparity_px)[~exchanged.occluded]) < 0.1
    assert (np.abs(back - exchanged.disparity_px)[~exchanged.occluded] < 1.0).mean() > 0.95


def test_photometric_agreement_of_visible_pixels() -> None:
    """The views show the same texture: warped right and left differ by interpolation only."""
    scene, lattice = _scene(5, "room"), Lattice(WIDTH, HEIGHT, 2)
    left, right = render_buffers(scene, lattice, NO_PHOTOS)
    pixels = [resolve(view.rgbx, lattice)[..., :3].astype(np.float32) for view in (left, right)]
    d = lattice.centres(left.disparity_px)
    x_right = np.arange(WIDTH, dtype=np.float32)[None, :] - d
    y = np.repeat(np.arange(HEIGHT, dtype=np.float32)[:, None], WIDTH, 1)
    warped = cv2.remap(pixels[1], x_right, y, cv2.INTER_LINEAR)
    hidden = occlusion_mask(left, right, lattice, scene) | (x_right < 0) | (x_right > WIDTH - 1)
    inner = ~cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3))).astype(bool) & _pure(left.index, lattice)
    assert np.median(np.abs(warped - pixels[0])[inner]) <= 2.0


@pytest.mark.parametrize("supersampling", [1, 2])
def test_same_seed_same_sample(supersampling: int) -> None:
    config = SceneConfig(128, 96, RANGE, None, supersampling=supersampling)
    first, second = render_sample(11, config), render_sample(11, config)
    other = render_sample(12, config)
    for name in ("left", "right", "disparity_px", "occluded"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.left, other.left)
    assert first.left.shape == (96, 128, 3) and first.left.dtype == np.uint8
    assert first.disparity_px.shape == (96, 128) and first.disparity_px.dtype == np.float32


def test_nuisances_leave_labels_alone() -> None:
    noisy = render_sample(4, SceneConfig(WIDTH, HEIGHT, RANGE, None))
    clean = render_sample(4, SceneConfig(WIDTH, HEIGHT, RANGE, None, nuisances=False))
    np.testing.assert_array_equal(noisy.disparity_px, clean.disparity_px)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_pixel_is_labelled_within_the_range(family: str) -> None:
    for seed in range(6):
        scene = _scene(seed, family, detail=(1.0, 1.5)[seed % 2])
        left, right = render_buffers(scene, Lattice(WIDTH, HEIGHT, 1), NO_PHOTOS)
        assert RANGE[0] <= scene.max_disparity_px <= RANGE[1]
        assert (left.index >= 0).all() and (right.index >= 0).all()
        for d in (left.disparity_px, right.disparity_px):
            assert d.min() >= scene.min_disparity_px - 0.05 and d.max() <= scene.max_disparity_px + 0.05


def test_largest_disparities_are_log_uniform_and_backgrounds_vary() -> None:
    rng = np.random.default_rng(0)
    low, high = np.array([draw_range(rng, "room", (16.0, 160.0)) for _ in range(2000)]).T
    quantiles = np.quantile(np.log10(high / 16), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, [0.1, 0.5, 0.9], atol=0.04)
    assert (low / high < 0.07).mean() > 0.25 and (low / high > 0.3).mean() > 0.3


def test_textures_from_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (200, 300, 3), np.uint8))
    config = SceneConfig(WIDTH, HEIGHT, RANGE, tmp_path)
    sample = render_sample(0, config)
    assert sample.left.shape == (HEIGHT, WIDTH, 3)
    assert not np.array_equal(sample.left, render_sample(0, SMALL).left)


def test_bad_textures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no .jpg"):
        render_sample(0, SceneConfig(texture_dir=tmp_path))
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match="broken.png: not a readable image"):
        TextureLibrary(tmp_path).load("photo:0", 0)


def test_a_scaled_scene_is_the_same_scene_larger() -> None:
    """Twice as large at every second sample: the same surfaces at twice the disparity, also with a vertical error."""
    scene = compose(9, WIDTH, HEIGHT, RANGE, NO_PHOTOS, "room", vertical_error_px=1.0)
    scene = replace(scene, vertical_offset_px=0.4, vertical_scale=0.01)
    half = scene.scaled(0.5, WIDTH // 2, HEIGHT // 2)
    large = render_buffers(scene, Lattice(WIDTH, HEIGHT, 1), NO_PHOTOS)
    small = render_buffers(half, Lattice(WIDTH // 2, HEIGHT // 2, 2), NO_PHOTOS)
    for whole, reduced in zip(large, small, strict=True):
        same = whole.index == reduced.index[1:, 1:]
        assert same[_pure(whole.index, Lattice(WIDTH, HEIGHT, 1))].mean() > 0.999  # outlines are rasters
        np.testing.assert_allclose(2 * reduced.disparity_px[1:, 1:][same], whole.disparity_px[same], rtol=2e-5)


@pytest.mark.parametrize("detail", [1.0, 2.0])
def test_detail_of_a_config_is_the_composer_s(detail: float) -> None:
    config = replace(SMALL, nuisances=False, detail=(detail, detail))
    scene, lattice = (
        compose(1, WIDTH, HEIGHT, RANGE, NO_PHOTOS, vertical_error_px=0.0, detail=detail),
        Lattice(WIDTH, HEIGHT, 2),
    )
    left, _ = render_buffers(scene, lattice, NO_PHOTOS)
    np.testing.assert_array_equal(render_sample(1, config).disparity_px, lattice.centres(left.disparity_px))
    assert (scene.width_px, scene.height_px) == (WIDTH, HEIGHT)


def test_bad_config_lists_every_problem() -> None:
    with pytest.raises(DataError, match=r"size 10x10.*detail \(1.0, 3.0\).*supersampling 3.*family 'moon'"):
        SceneConfig(10, 10, detail=(1.0, 3.0), supersampling=3, family="moon")


def test_features_and_nuisances_can_be_left_out() -> None:
    def scene(seed: int, *without: str) -> Scene:
        return compose(seed, WIDTH, HEIGHT, RANGE, NO_PHOTOS, "room", 0.0, frozenset(without))

    seeds = range(6)
    assert any(layer.shadows for s in seeds for layer in scene(s).layers)
    assert not any(layer.shadows for s in seeds for layer in scene(s, "shadows").layers)
    assert not any(layer.paint.light for s in seeds for layer in scene(s, "light").layers)
    assert not any(layer.paint.source == "plain" for s in seeds for layer in scene(s, "plain", "blank").layers)
    assert any(scene(s).right_gains for s in range(40))
    assert not any(scene(s, "lamp").right_gains for s in range(40))
    without = (*NUISANCES, "vertical error")
    for seed in range(4):
        bare = render_sample(seed, replace(SMALL, without=without))
        clean = render_sample(seed, replace(SMALL, nuisances=False))
        np.testing.assert_array_equal(bare.left, clean.left)
        np.testing.assert_array_equal(bare.right, clean.right)
    assert {
        compose(s, WIDTH, HEIGHT, RANGE, NO_PHOTOS, without=frozenset(["photo", "room", "flying"])).family
        for s in range(5)
    } == {"street"}
    with pytest.raises(DataError, match="without snow, expected some of .*shadows"):
        SceneConfig(without=("snow",))


@pytest.mark.parametrize("feature", HARD_CASES)
def test_a_hard_case_changes_some_scenes_and_nothing_else(feature: str) -> None:
    """Its random numbers are its own: where it is not drawn the scene is the one without it."""
    changed = 0
    for seed in range(12):
        drafts = [Draft(np.random.default_rng(seed), NO_PHOTOS, WIDTH, HEIGHT, 1.0, 60.0, seed=seed) for _ in range(2)]
        wall = Layer(Surface(5.0), drafts[0].full, Paint("pattern:bricks", 1))
        for draft in drafts:
            draft.layers.append(wall)
        HARD_CASES[feature](drafts[0].aside(feature))
        assert drafts[0].rng.random() == drafts[1].rng.random()
        changed += drafts[0].layers != drafts[1].layers or bool(drafts[0].right_gains)
        assert drafts[0].layers[0].surface == wall.surface
    assert 0 < changed < 12


def test_another_lamp_changes_the_right_view_by_layers() -> None:
    walls = tuple(
        Layer(Surface(d), box, Paint("plain", 0, colour=(100.0, 80.0, 60.0), shade=0.0))
        for d, box in ((4.0, (-4.0, -4.0, 200.0, 100.0)), (10.0, (40.0, 20.0, 90.0, 70.0)))
    )
    scene, lattice = Scene(128, 96, 1.0, 20.0, walls, "room"), Lattice(128, 96, 2)
    same, lit = (render_buffers(s, lattice, NO_PHOTOS) for s in (scene, replace(scene, right_gains=(0.5, 2.0))))
    np.testing.assert_array_equal(same[0].rgbx, lit[0].rgbx)
    np.testing.assert_array_equal(same[1].disparity_px, lit[1].disparity_px)
    for layer, colour in enumerate([(50, 40, 30), (200, 160, 120)]):
        assert (lit[1].rgbx[lit[1].index == layer][:, :3] == colour).all()


def test_photographs_are_not_enlarged() -> None:
    """A photo scene shows at least one source pixel for every 1.25 px, where "sharp" is not left out."""
    library = TextureLibrary(None)
    for seed in range(4):
        scene = compose(seed, WIDTH, HEIGHT, RANGE, library, "photo", 0.0)
        (frame,) = {layer.paint.frame for layer in scene.layers if layer.paint.frame is not None}
        assert 384 / abs(frame[2] - frame[0]) >= 0.79  # a pattern's size


def test_dataset_resumes_at_any_sample() -> None:
    whole = ProceduralScenes(SMALL, 4, first_seed=100)
    rest = ProceduralScenes(SMALL, 2, first_seed=100, start=2)
    for key, value in whole[3].items():
        assert torch.equal(value, rest[1][key]), key
    assert whole[0]["left"].shape == (3, HEIGHT, WIDTH) and whole[0]["disparity"].shape == (1, HEIGHT, WIDTH)
    assert bool(whole[0]["valid"].all())
    with pytest.raises(IndexError):
        whole[4]


def test_preview_writes_one_row_per_sample(tmp_path: Path) -> None:
    preview.main([str(tmp_path / "sheet.png"), "--count", "2", "--row-width", "400", "--family", "flying", "--clean"])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 50, 400, 3)
    left, right = sheet[12:50, :100].astype(int), sheet[12:50, 100:200].astype(int)
    assert np.abs(left - right).mean() > 1


def test_unknown_disparity_becomes_invalid() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    d = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]], np.float32)
    tensors = to_tensors(StereoSample(image, image, d, np.zeros((2, 3), bool)))
    assert tensors["valid"].tolist() == [[[True, False, True], [True, True, True]]]
    assert tensors["disparity"][0, 0, 1] == 0.0


def test_projected_cuboid_lies_on_its_surfaces() -> None:
    """Faces drawn from space: at each projected corner the face's disparity is reach / Z."""
    draft = Draft(np.random.default_rng(0), NO_PHOTOS, WIDTH, HEIGHT, 1.0, 60.0)
    camera = draft.aimed(0.3, 0.1)
    foot = camera.unproject(120.0, 90.0, 12.0)
    add_cuboid(draft, camera, foot, (1.0, 0.6, 0.8), 0.7, Paint("plain", 0))
    assert len(draft.layers) in (2, 3)
    np.testing.assert_allclose(camera.project(foot[None])[0], [[120.0, 90.0]], atol=1e-9)
    local = foot @ camera.rotation.T
    assert camera.reach / local[2] == pytest.approx(12.0)
    corners, disparities = camera.project(_CUBOID @ _yaw(0.7).T + foot)
    for layer in draft.layers:
        outline = layer.shape.groups[0][0]
        expected = [disparities[np.abs(corners - point).sum(1).argmin()] for point in outline]
        np.testing.assert_allclose(layer.surface.disparity(outline[:, 0], outline[:, 1]), expected, rtol=1e-9)


_CUBOID = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.6, 0.0) for z in (-0.4, 0.4)])


def _yaw(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def test_coplanar_surfaces_lie_apart_in_order() -> None:
    """Of things in one plane the later is seen, by more than float32 can round away."""
    draft = Draft(np.random.default_rng(0), NO_PHOTOS, WIDTH, HEIGHT, 1.0, 60.0)
    for surface in (Surface(9.0, 0.1, 0.2), Surface(9.0 + 1e-12, 0.1, 0.2), Surface(10.0, 0.1, 0.2, x0=10.0)):
        draft.add(surface, draft.full, Paint("plain", 0), fit=False)
    np.testing.assert_allclose([layer.surface.at(0, 0) for layer in draft.layers], [9.0, 9.0005, 9.001], atol=1e-9)


def test_mirror_keeps_the_label() -> None:
    """A reflection changes colours of its layer in both views and nothing else."""
    plain = Layer(Surface(10.0), (-4.0, -4.0, 200.0, 100.0), Paint("plain", 0, colour=(100.0, 100.0, 100.0), shade=0.0))
    behind = Reflection(0, Surface(4.0), Paint("pattern:checker", 1, shade=0.0), 0.5)
    without = Scene(128, 96, 1.0, 20.0, (plain,), "room")
    lattice = Lattice(128, 96, 2)
    bare, mirrored = (
        render_buffers(scene, lattice, NO_PHOTOS) for scene in (without, replace(without, reflections=(behind,)))
    )
    for before, after in zip(bare, mirrored, strict=True):
        np.testing.assert_array_equal(before.disparity_px, after.disparity_px)
        assert (before.rgbx[..., :3] == 100).all()
        assert (after.rgbx[..., :3] != 100).mean() > 0.5
    # the reflected picture moves by its own disparity, 4 px = 8 samples
    np.testing.assert_allclose(
        mirrored[0].rgbx[:, 8:, :3].astype(int), mirrored[1].rgbx[:, :-8, :3].astype(int), atol=2
    )


def test_a_configs_identity_follows_the_textures_and_not_their_place(tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.png").write_bytes(b"1234")
    here, there = (replace(SMALL, texture_dir=folder) for folder in folders)
    assert here.identity() == there.identity() != SMALL.identity()
    assert replace(here, width_px=128).identity() != here.identity()
    (folders[1] / "b.png").write_bytes(b"5")
    assert here.identity() != there.identity()
    (folders[0] / "b.png").write_bytes(b"5")
    (folders[0] / "SOURCES.csv").write_text("file,repository,path\n")
    assert here.identity() != there.identity()
