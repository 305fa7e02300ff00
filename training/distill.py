"""Distillation: a student's distribution over disparities against its teacher's, in float32.

The paper's loss is the L1 distance of the two softened distributions, summed over the bins. It is at most 2, and where
both peaks are sharp and apart it is 2 with almost no gradient: `saturated` among the terms is the share of pixels
above 1.9, to be watched, and `kl_warmup` begins a run with the divergence, whose gradient does not vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stereo_dp_ros.networks import StereoOutput
from training.errors import TrainingError
from training.losses import distribution_loss, masked_mean, subsample
from training.teacher import Teacher, TeacherOutput

__all__ = [
    "DISTANCES",
    "DistillConfig",
    "Distillation",
    "kl_distance",
    "l1_distance",
    "resample_bins",
    "teacher_logits",
]

SATURATED = 1.9
SPREAD_PX = 1.0
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class DistillConfig:
    """Which terms there are, and their weights.

    Attributes
    ----------
    teacher
        Weight of the distance to the teacher; 0 for ground truth alone.
    distance
        "l1" (of the distributions, summed over bins) or "kl" (divergence of the student's from the teacher's).
    ground_truth
        Weight of the smooth L1 of the disparity against ground truth, in px; 0 for the teacher alone.
    distribution
        Weight of the cross-entropy against the two bins around ground truth, which `corr` is trained with.
    temperature_start, temperature_end
        Both distributions are softmax(logits / t), t going linearly from one to the other over the run.
    kl_warmup
        Share of the run, 0…1, at whose beginning "kl" stands in for "l1".
    pixels
        "labelled" (with ground truth within the student's range) or "all".
    min_confidence
        Pixels that a teacher without logits is less sure of are left out.
    """

    teacher: float = 1.0
    distance: str = "l1"
    ground_truth: float = 0.0
    distribution: float = 0.0
    temperature_start: float = 0.5
    temperature_end: float = 1.0
    kl_warmup: float = 0.0
    pixels: str = "labelled"
    min_confidence: float = 0.5

    def __post_init__(self) -> None:
        problems = []
        weights = {name: getattr(self, name) for name in ("teacher", "ground_truth", "distribution")}
        if min(weights.values()) < 0 or sum(weights.values()) == 0:
            found = ", ".join(f"{name} is {weight}" for name, weight in weights.items())
            problems.append(f"{found}; expected weights of at least 0, not all 0")
        if self.distance not in DISTANCES:
            problems.append(f"distance is {self.distance!r}; expected one of {', '.join(DISTANCES)}")
        if min(self.temperature_start, self.temperature_end) <= 0:
            problems.append("temperature_start and temperature_end: expected above 0")
        if not 0 <= self.kl_warmup <= 1:
            problems.append(f"kl_warmup is {self.kl_warmup}; expected 0 to 1")
        if self.pixels not in ("labelled", "all"):
            problems.append(f"pixels is {self.pixels!r}; expected 'labelled' or 'all'")
        if problems:
            raise TrainingError("distill: " + "; ".join(problems))


def l1_distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Per pixel Σ over bins of |softmax(student/t) − softmax(teacher/t)|, 0…2; (N, K, h, w) twice to (N, 1, h, w)."""
    p = torch.softmax(student.float() / temperature, dim=1)
    q = torch.softmax(teacher.float() / temperature, dim=1)
    return (p - q).abs().sum(dim=1, keepdim=True)


def kl_distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Per pixel Σ over bins of q · log(q / p), nats; (N, K, h, w) twice to (N, 1, h, w)."""
    log_p = torch.log_softmax(student.float() / temperature, dim=1)
    log_q = torch.log_softmax(teacher.float() / temperature, dim=1)
    return (log_q.exp() * (log_q - log_p)).sum(dim=1, keepdim=True)


DISTANCES = {"l1": l1_distance, "kl": kl_distance}


def resample_bins(logits: Tensor, bin_px: float, bins: int, to_bin_px: float) -> Tensor:
    """Logits of another division into bins, (N, K, h, w) to (N, bins, h, w).

    To finer bins: linear between the logits, constant beyond the last. To coarser ones: each probability is dealt out
    to the two bins around it, which keeps the expectation, as logits picked at some of the bins would not.
    """
    last = logits.shape[1] - 1
    if bins == last + 1 and to_bin_px == bin_px:
        return logits
    if to_bin_px > bin_px:
        place = (torch.arange(last + 1, device=logits.device) * (bin_px / to_bin_px)).clamp(max=bins - 1)
        shares = (1.0 - (place[:, None] - torch.arange(bins, device=logits.device)).abs()).clamp(min=0.0)
        probability = torch.einsum("nkhw,kb->nbhw", torch.softmax(logits, dim=1), shares)
        return probability.clamp(min=LEAST_PROBABILITY).log()
    position = (torch.arange(bins, device=logits.device) * (to_bin_px / bin_px)).clamp(max=last)
    low = position.floor().long()
    fraction = (position - low).reshape(1, -1, 1, 1)
    high = (low + 1).clamp(max=last)
    return logits[:, low] * (1 - fraction) + logits[:, high] * fraction


def teacher_logits(
    answer: TeacherOutput, bins: int, bin_px: float, factor: int, min_confidence: float
) -> tuple[Tensor, Tensor]:
    """A teacher's answer over the student's bins: logits (N, bins, h, w) and the pixels that count (N, 1, h, w).

    A disparity becomes a Laplacian of scale `SPREAD_PX` px around it, or one bin where that is more.
    """
    if answer.logits is not None:
        logits = resample_bins(answer.logits.float(), answer.bin_px, bins, bin_px)
        return logits, torch.ones_like(logits[:, :1], dtype=torch.bool)
    if answer.disparity is None or answer.confidence is None:
        raise TrainingError("a teacher gave neither logits nor disparity and confidence")
    disparity, confidence = subsample(answer.disparity, factor), subsample(answer.confidence, factor)
    centres = (torch.arange(bins, device=disparity.device) * bin_px).reshape(1, -1, 1, 1)
    logits = -(centres - disparity).abs() / max(SPREAD_PX, bin_px)
    return logits, (confidence >= min_confidence) & (disparity <= bin_px * (bins - 1))


class Distillation:
    """Objective of distillation, and of training on ground truth alone with the same loss (`teacher` weight 0).

    Parameters
    ----------
    teacher
        None where the config's weight for it is 0.
    bins, bin_px
        The student's.
    """

    def __init__(self, config: DistillConfig, teacher: Teacher | None, bins: int, bin_px: float) -> None:
        if config.teacher > 0 and teacher is None:
            raise TrainingError("distill.teacher is above 0 and there is no teacher; expected one")
        self.config = config
        self.teacher = teacher
        self.bins = bins
        self.bin_px = bin_px

    def temperature(self, progress: float) -> float:
        """Temperature of the softmax at a progress in 0…1."""
        start, end = self.config.temperature_start, self.config.temperature_end
        return start + (end - start) * progress

    def __call__(self, output: StereoOutput, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Terms, as far as their weights are above 0, with `saturated` beside `teacher`; and `total`."""
        disparity = batch["disparity"]
        in_range = batch["valid"] & (disparity >= 0) & (disparity <= self.bin_px * (self.bins - 1))
        terms: dict[str, Tensor] = {}
        total = torch.zeros((), device=disparity.device)
        if self.config.teacher > 0:
            terms |= self._teacher_terms(output, batch, in_range, progress)
            total = total + self.config.teacher * terms["teacher"]
        if self.config.ground_truth > 0:
            error = functional.smooth_l1_loss(output.disparity, disparity, reduction="none")
            terms["ground_truth"] = masked_mean(error, in_range)
            total = total + self.config.ground_truth * terms["ground_truth"]
        if self.config.distribution > 0:
            factor = in_range.shape[-1] // output.logits.shape[-1]
            entropy = distribution_loss(output.logits.float(), subsample(disparity, factor) / self.bin_px)
            terms["distribution"] = masked_mean(entropy, subsample(in_range, factor))
            total = total + self.config.distribution * terms["distribution"]
        return {**terms, "total": total}

    def _teacher_terms(
        self, output: StereoOutput, batch: dict[str, Tensor], in_range: Tensor, progress: float
    ) -> dict[str, Tensor]:
        assert self.teacher is not None
        answer = self.teacher(batch["left"].float(), batch["right"].float(), batch["index"].tolist())
        factor = in_range.shape[-1] // output.logits.shape[-1]
        target, mask = teacher_logits(answer, self.bins, self.bin_px, factor, self.config.min_confidence)
        if self.config.pixels == "labelled":
            mask = mask & subsample(in_range & (batch["disparity"] <= answer.max_disparity_px), factor)
        temperature = self.temperature(progress)
        name = "kl" if progress < self.config.kl_warmup else self.config.distance
        distance = DISTANCES[name](output.logits, target, temperature)
        with torch.no_grad():
            apart = distance if name == "l1" else l1_distance(output.logits, target, temperature)
            saturated = masked_mean((apart > SATURATED).float(), mask)
        return {"teacher": masked_mean(distance, mask), "saturated": saturated}
