"""Training data: procedural stereo scenes with exact labels, and readers of published sets."""

from training.data.dataset import VALIDATION_SEED, ProceduralScenes, init_worker, to_tensors
from training.data.procedural import SceneConfig, render_sample
from training.data.sample import StereoSample

__all__ = [
    "VALIDATION_SEED",
    "ProceduralScenes",
    "SceneConfig",
    "StereoSample",
    "init_worker",
    "render_sample",
    "to_tensors",
]
