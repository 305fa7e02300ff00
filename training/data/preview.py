"""``python -m training.data.preview OUT.png``: a contact sheet of procedural samples."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from stereo_dp_ros.core.images import colorize_disparity, write_image
from training.data.procedural import SceneConfig, default_texture_dir, render_sample
from training.data.sample import StereoSample

__all__ = ["contact_sheet", "main"]


def sample_row(sample: StereoSample) -> np.ndarray:
    """Left, right, disparity (scaled to its own range) and the occluded pixels in black, side by side, RGB."""
    d = sample.disparity_px
    colour = colorize_disparity(d, float(np.nanmin(d)), float(np.nanmax(d)))[..., ::-1]
    hidden = np.where(sample.occluded[..., None], 0, colour)
    return np.hstack([sample.left, sample.right, colour, hidden]).astype(np.uint8)


def contact_sheet(samples: list[StereoSample], row_width_px: int) -> np.ndarray:
    """One row per sample, uint8 RGB."""
    rows = []
    for sample in samples:
        row = sample_row(sample)
        height = round(row.shape[0] * row_width_px / row.shape[1])
        row = cv2.resize(row, (row_width_px, height), interpolation=cv2.INTER_AREA)
        note = f"{np.nanmin(sample.disparity_px):.1f}..{np.nanmax(sample.disparity_px):.1f} px"
        cv2.putText(row, note, (row_width_px // 2 + 4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        rows.append(row)
    return np.vstack(rows)


def main(arguments: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m training.data.preview", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--family", help="only this family of scenes")
    parser.add_argument("--textures", type=Path, default=default_texture_dir(), help="folder of photographs")
    parser.add_argument("--clean", action="store_true", help="without nuisances")
    parser.add_argument("--row-width", type=int, default=1600, help="px")
    options = parser.parse_args(arguments)
    config = SceneConfig(texture_dir=options.textures, nuisances=not options.clean, family=options.family)
    samples = [render_sample(seed, config) for seed in range(options.seed, options.seed + options.count)]
    write_image(options.output, contact_sheet(samples, options.row_width))


if __name__ == "__main__":
    main()
