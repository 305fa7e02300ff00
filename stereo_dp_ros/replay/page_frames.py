"""The report's pictures of frames: a strip of the sequence, and rows of image, disparity, error and confidence."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.replay.gallery import Gallery, Sample
from stereo_dp_ros.replay.pictures import (
    BACKGROUND,
    ERROR_LIMIT_PX,
    color_scale,
    confidence_picture,
    data_uri,
    disparity_picture,
    error_picture,
)
from stereo_dp_ros.replay.report import BagReport

__all__ = ["disparity_range_px", "frames_section"]

_STRIP_MARGIN_PX = 2


def frames_section(bag: BagReport) -> str:
    """HTML of the strip and the rows; empty where no frame has a picture."""
    gallery = bag.evaluation.gallery
    samples = _in_order(gallery)
    if not samples:
        return ""
    range_px = disparity_range_px(samples)
    rows = "".join(
        f'<div class="when">{_caption(bag, sample)}</div>{_pictures(sample, range_px)}' for sample in samples
    )
    scales = _scale("disparity", f"{range_px[0]:.0f} px", f"{range_px[1]:.0f} px, near")
    has_truth = any(sample.ground_truth_px is not None for sample in samples)
    if has_truth:
        scales += _scale("error", "0 px", f"≥ {ERROR_LIMIT_PX:g} px, gray: no ground truth")
    scales += _scale("confidence", "0", "1")
    return (
        f'{_strip(bag, range_px)}<div class="card"><div class="frames{"" if has_truth else " three"}">{rows}</div>'
        f'<div class="scales">{scales}</div></div>'
    )


def disparity_range_px(samples: list[Sample]) -> tuple[float, float]:
    """The range of disparities to colour: of the ground truth where there is one."""
    values = [
        array[np.isfinite(array)]
        for sample in samples
        for array in (sample.disparity_px if sample.ground_truth_px is None else sample.ground_truth_px,)
    ]
    joined = np.concatenate(values) if values else np.empty(0)
    return (float(joined.min()), float(joined.max())) if joined.size else (0.0, 1.0)


def _in_order(gallery: Gallery) -> list[Sample]:
    """What to show, each once: first the best and the worst, then those spread evenly."""
    ranked = [sample for sample in (gallery.best, gallery.worst) if sample is not None]
    shown = {sample.stamp_ns for sample in ranked}
    return [*ranked, *(sample for sample in gallery.samples if sample.stamp_ns not in shown)]


def _strip(bag: BagReport, range_px: tuple[float, float]) -> str:
    frames = bag.evaluation.gallery.strip
    if len(frames) < 2:
        return ""
    columns = [
        _framed(np.concatenate([frame.left, disparity_picture(frame.disparity_px, *range_px)]))
        for frame in frames
        if frame.left.shape == frames[0].left.shape
    ]
    picture = np.concatenate(columns, axis=1)
    first, last = (bag.seconds(frame.stamp_ns) for frame in (frames[0], frames[-1]))
    return (
        f'<figure class="strip"><div class="scroll"><img src="{data_uri(picture)}" '
        f'alt="Left images and disparities of {escape(bag.title)}" width="{picture.shape[1]}" '
        f'height="{picture.shape[0]}"></div><figcaption>{len(columns)} frames from {first:.1f} s to {last:.1f} s: left '
        "image, disparity.</figcaption></figure>"
    )


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with a margin in the colour behind pictures."""
    margin = _STRIP_MARGIN_PX
    framed = np.empty((picture.shape[0] + 2 * margin, picture.shape[1] + 2 * margin, 3), np.uint8)
    framed[...] = BACKGROUND
    framed[margin:-margin, margin:-margin] = picture
    return framed


def _pictures(sample: Sample, range_px: tuple[float, float]) -> str:
    pictures = [("left image", sample.left), ("disparity", disparity_picture(sample.disparity_px, *range_px))]
    if sample.ground_truth_px is not None:
        pictures.append(("error", error_picture(sample.disparity_px, sample.ground_truth_px)))
    pictures.append(("confidence", confidence_picture(sample.confidence)))
    return "".join(
        f'<figure><img src="{data_uri(picture)}" alt="{name}"><figcaption>{name}</figcaption></figure>'
        for name, picture in pictures
    )


def _caption(bag: BagReport, sample: Sample) -> str:
    """Which frame it is, when it was, and its own figures."""
    gallery = bag.evaluation.gallery
    parts = [f"at {bag.seconds(sample.stamp_ns):.1f} s"]
    for name, ranked in (("best frame", gallery.best), ("worst frame", gallery.worst)):
        if ranked is sample:
            parts.insert(0, f"<strong>{name}</strong>")
    score = next((frame for frame in bag.evaluation.frames if frame.stamp_ns == sample.stamp_ns), None)
    if score is not None and score.metrics is not None:
        parts += [f"EPE {score.metrics['epe']:.2f} px", f"bad-2.0 {score.metrics['bad_2']:.1f} %"]
    elif score is not None:
        parts.append(f"mean confidence {score.mean_confidence:.3f}")
    return " · ".join(parts)


def _scale(name: str, low: str, high: str) -> str:
    stops = ",".join(color_scale(name))
    return (
        f'<div class="scale"><span>{name} {escape(low)}</span>'
        f'<i style="background:linear-gradient(90deg,{stops})"></i><span>{escape(high)}</span></div>'
    )
