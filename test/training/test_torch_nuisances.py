"""Nuisances in torch are those of NumPy and OpenCV, up to rounding."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.data.nuisances import (  # noqa: E402
    NOISE_BANK,
    NUISANCES,
    CameraResponse,
    Nuisances,
    apply_nuisances,
    draw_nuisances,
    noise_bank,
)
from training.data.torch_nuisances import apply_torch_nuisances  # noqa: E402

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
WIDTH, HEIGHT = 150, 90  # of no multiple of 8
PLAIN = CameraResponse(None, 0.0, np.ones(3), 1.0, 0.0, 0.0, 0, None)


def _views() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    tones = rng.random((2, HEIGHT, WIDTH, 1)) + 0.3 * rng.random((2, HEIGHT, WIDTH, 3))  # hues vary less than tones
    smooth = [cv2.GaussianBlur(view, (0, 0), 2.0) for view in tones]
    left, right = (cv2.normalize(view, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8) for view in smooth)
    cv2.rectangle(left, (20, 20), (90, 60), (250, 30, 10), cv2.FILLED)
    return left, right


def _pair(camera: CameraResponse, **changes: object) -> Nuisances:
    return replace(Nuisances((camera, camera), (110.0, 0.0), gray=False, sharpening=0.0), **changes)


def _difference(nuisances: Nuisances, device: str) -> np.ndarray:
    """Levels that the two differ by, of both views."""
    left, right = _views()
    expected = apply_nuisances(left, right, nuisances)
    tensors = (torch.from_numpy(view).permute(2, 0, 1).contiguous().to(device) for view in (left, right))
    actual = [view.permute(1, 2, 0).cpu().numpy() for view in apply_torch_nuisances(*tensors, nuisances)]
    assert all(view.dtype == np.uint8 for view in actual)
    return np.abs(np.stack(actual).astype(int) - np.stack(expected))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("nuisances", "levels"),
    [
        (_pair(PLAIN), 0),
        (_pair(PLAIN, exposure=(60.0, 0.7)), 1),
        (_pair(PLAIN, gray=True), 1),
        (_pair(replace(PLAIN, gain=np.array([0.7, 1.0, 1.4]), gamma=1.3, offset=-4.0)), 1),
        (_pair(replace(PLAIN, noise=4.0, noise_start=NOISE_BANK - 1000)), 1),
        (_pair(replace(PLAIN, blur_px=0.7)), 2),
        (_pair(PLAIN, sharpening=1.0), 3),
        (_pair(replace(PLAIN, light=np.arange(18 * 11, dtype=np.uint8).reshape(11, 18))), 2),
    ],
)
def test_each_nuisance_is_the_same_within_levels(nuisances: Nuisances, levels: int, device: str) -> None:
    assert _difference(nuisances, device).max() <= levels


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("quality", [50, 75, 97])
def test_compression_is_libjpegs(quality: int, device: str) -> None:
    """Where a coefficient lies between two steps, rounding may choose the other one for its block."""
    camera = replace(PLAIN, jpeg_quality=quality)
    assert _difference(_pair(camera, gray=True), device).mean() <= 0.2
    difference = _difference(_pair(camera), device)
    assert difference.mean() <= 0.6
    assert (difference > 3).mean() <= 0.03
    left, right = _views()
    changed = np.abs(apply_nuisances(left, right, _pair(replace(PLAIN, jpeg_quality=quality)))[0].astype(int) - left)
    assert changed.mean() > 1.5 * difference.mean()


@pytest.mark.parametrize("device", DEVICES)
def test_drawn_nuisances_are_the_same_within_a_level_on_average(device: str) -> None:
    for seed in range(12):
        nuisances = draw_nuisances(np.random.default_rng(seed), WIDTH, HEIGHT)
        if nuisances is not None:
            compressed = nuisances.cameras[0].jpeg_quality is not None
            assert _difference(nuisances, device).mean() <= (1.2 if compressed else 0.3), seed


def test_shade_is_in_some_pairs_and_can_be_left_out() -> None:
    others = frozenset(NUISANCES) - {"shade"}
    ratios = []
    for seed in range(60):
        nuisances = draw_nuisances(np.random.default_rng(seed), 320, 192, others)
        lights = [] if nuisances is None else [camera.light for camera in nuisances.cameras]
        for light in lights:
            if light is not None:
                assert light.shape == (24, 40) and light.dtype == np.uint8
                ratios.append(light.max() / max(light.min(), 1))
    assert 6 <= len(ratios) <= 32 and max(ratios) > 2.0
    for seed in range(60):
        nuisances = draw_nuisances(np.random.default_rng(seed), 320, 192, frozenset(NUISANCES))
        assert nuisances is None or all(camera.light is None for camera in nuisances.cameras)


def test_noise_is_a_stretch_of_the_bank() -> None:
    gray = np.full((8, 8, 3), 128, np.uint8)
    camera = replace(PLAIN, noise=3.0, noise_start=5)
    noisy, _ = apply_nuisances(gray, gray, _pair(camera))
    deviation = 3.0 * np.sqrt(0.4 + 1.2 * 128 / 255)
    expected = np.rint(128 + deviation * noise_bank()[5 : 5 + 8 * 8 * 3].reshape(8, 8, 3))
    np.testing.assert_array_equal(noisy, expected)
