from __future__ import annotations

import math

import pytest
import torch

from stereo_dp_ros.networks import StereoOutput
from training.distill import (
    Distillation,
    DistillConfig,
    kl_distance,
    l1_distance,
    resample_bins,
    teacher_logits,
)
from training.errors import TrainingError
from training.losses import masked_mean
from training.teacher import TeacherOutput


def column(*logits: float) -> torch.Tensor:
    return torch.tensor(logits).reshape(1, -1, 1, 1)


def test_l1_is_the_sum_over_bins_of_the_softened_difference() -> None:
    student, teacher = column(0.0, 0.0), column(math.log(3.0), 0.0)
    assert l1_distance(student, teacher, 1.0).item() == pytest.approx(0.5)  # |1/2 − 3/4| + |1/2 − 1/4|
    assert l1_distance(student, teacher, 0.5).item() == pytest.approx(0.8)  # 9 : 1 at half the temperature


def test_l1_is_two_where_the_peaks_are_apart_and_its_gradient_is_gone_there() -> None:
    student = column(40.0, 0.0, 0.0).requires_grad_()
    distance = l1_distance(student, column(0.0, 0.0, 40.0), 1.0)
    distance.sum().backward()
    assert distance.item() == pytest.approx(2.0)
    assert student.grad is not None and student.grad.abs().max().item() < 1e-6


def test_the_divergence_keeps_its_gradient_there() -> None:
    student = column(40.0, 0.0, 0.0).requires_grad_()
    kl_distance(student, column(0.0, 0.0, 40.0), 1.0).sum().backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad.flatten(), torch.tensor([1.0, 0.0, -1.0]))


def test_the_divergence_has_the_value_worked_out_by_hand() -> None:
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kl_distance(column(0.0, 0.0), column(math.log(3.0), 0.0), 1.0).item() == pytest.approx(expected)


def test_half_precision_logits_are_compared_in_float32() -> None:
    assert l1_distance(column(1.0, 2.0).half(), column(1.0, 2.0).bfloat16(), 0.5).dtype == torch.float32


def test_coarser_bins_keep_the_expectation() -> None:
    probability = torch.tensor([0.0, 0.1, 0.5, 0.3, 0.1, 0.0]).clamp(min=1e-6)  # bins of 2 px
    coarse = torch.softmax(resample_bins(column(*probability.log().tolist()), 2.0, 4, 3.0), dim=1).flatten()
    expected = sum(p * 2.0 * k for k, p in enumerate(probability.tolist()))
    assert sum(p * 3.0 * k for k, p in enumerate(coarse.tolist())) == pytest.approx(expected, abs=1e-3)
    assert coarse[1].item() == pytest.approx(0.1 * 2 / 3 + 0.5 * 2 / 3 + 0.3 * 0.0, abs=1e-4)


def test_temperature_rises_linearly_over_the_run() -> None:
    objective = Distillation(DistillConfig(teacher=0.0, ground_truth=1.0), None, 8, 1)
    assert [objective.temperature(p) for p in (0.0, 0.5, 1.0)] == [0.5, 0.75, 1.0]


def test_bins_of_four_px_become_bins_of_one_px() -> None:
    coarse = column(0.0, 4.0, 2.0)
    assert resample_bins(coarse, 4, 12, 1).flatten().tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 2, 2, 2]
    assert resample_bins(coarse, 4, 3, 4) is coarse


def test_a_disparity_becomes_a_peak_at_its_bin_and_low_confidence_drops_out() -> None:
    disparity = torch.tensor([[4.0, 8.0], [4.0, 40.0]]).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None]
    confidence = torch.tensor([[0.9, 0.1], [0.5, 0.9]]).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None]
    answer = TeacherOutput(disparity=disparity, confidence=confidence)
    logits, counts = teacher_logits(answer, 16, 1, 4, 0.5)
    assert logits.argmax(dim=1)[0, :, 0].tolist() == [4, 4]
    assert counts[0, 0].tolist() == [[True, False], [True, False]]  # unsure; beyond the 15 px that there are


def test_a_teacher_must_say_one_thing() -> None:
    with pytest.raises(TrainingError, match="expected logits, or disparity and confidence"):
        TeacherOutput(disparity=torch.zeros(1, 1, 4, 4))


class FixedTeacher:
    identity = "fixed"
    bin_px = 1.0

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits
        self.asked: list[list[int]] = []

    def __call__(self, left: torch.Tensor, right: torch.Tensor, samples: list[int]) -> TeacherOutput:
        self.asked.append(list(samples))
        return TeacherOutput(logits=self.logits)


def batch_of(disparity_px: float) -> dict[str, torch.Tensor]:
    valid = torch.ones(1, 1, 4, 8, dtype=torch.bool)
    valid[..., 4:] = False
    image = torch.zeros(1, 3, 4, 8, dtype=torch.uint8)
    disparity = torch.full((1, 1, 4, 8), disparity_px)
    return {"left": image, "right": image, "disparity": disparity, "valid": valid, "index": torch.tensor([5])}


def output_of(logits: torch.Tensor, disparity_px: float) -> StereoOutput:
    fine = torch.full((1, 1, 4, 8), disparity_px)
    return StereoOutput(fine, torch.ones_like(fine), logits, fine[..., ::4, ::4])


def test_the_switches_add_up_over_valid_pixels_alone() -> None:
    student = torch.zeros(1, 2, 1, 2)
    target = torch.zeros(1, 2, 1, 2)
    target[:, 0] = math.log(3.0)
    target[..., 1] = 50.0  # the pixel that is not valid
    teacher = FixedTeacher(target)
    config = DistillConfig(teacher=2.0, ground_truth=0.25, temperature_start=1.0)
    terms = Distillation(config, teacher, 2, 1)(output_of(student, 1.0), batch_of(0.5), 0.0)
    assert terms["teacher"].item() == pytest.approx(0.5)
    assert terms["ground_truth"].item() == pytest.approx(0.125)  # smooth L1 of half a px
    assert terms["saturated"].item() == 0.0
    assert terms["total"].item() == pytest.approx(2 * 0.5 + 0.25 * 0.125)
    assert teacher.asked == [[5]]


def test_pixels_without_labels_count_where_the_config_says_so() -> None:
    student, target = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    target[:, 0, :, 1] = math.log(3.0)
    config = DistillConfig(pixels="all", temperature_start=1.0)
    terms = Distillation(config, FixedTeacher(target), 2, 1)(output_of(student, 1.0), batch_of(0.5), 0.0)
    assert terms["teacher"].item() == pytest.approx(0.25)
    assert set(terms) == {"teacher", "saturated", "total"}


def test_ground_truth_alone_needs_no_teacher() -> None:
    config = DistillConfig(teacher=0.0, ground_truth=1.0)
    terms = Distillation(config, None, 2, 1)(output_of(torch.zeros(1, 2, 1, 2), 1.0), batch_of(0.5), 0.0)
    assert set(terms) == {"ground_truth", "total"}


def test_a_run_may_begin_with_the_divergence() -> None:
    student, target = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    target[:, 0] = 1.0
    objective = Distillation(DistillConfig(kl_warmup=0.1), FixedTeacher(target), 2, 1)
    output, batch = output_of(student, 1.0), batch_of(0.5)
    early, late = objective(output, batch, 0.05)["teacher"], objective(output, batch, 0.1)["teacher"]
    assert early.item() == pytest.approx(kl_distance(student, target, objective.temperature(0.05))[0, 0, 0, 0].item())
    assert late.item() == pytest.approx(l1_distance(student, target, objective.temperature(0.1))[0, 0, 0, 0].item())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"distance": "l2"}, "distance is 'l2'; expected one of l1, kl"),
        ({"teacher": 0.0}, "expected weights of at least 0, not all 0"),
        ({"pixels": "some"}, "pixels is 'some'"),
        ({"temperature_start": 0.0}, "expected above 0"),
        ({"kl_warmup": 2.0}, "kl_warmup is 2.0; expected 0 to 1"),
    ],
)
def test_wrong_settings_are_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        DistillConfig(**fields)  # type: ignore[arg-type]


def test_a_teacher_that_is_missing_is_said() -> None:
    with pytest.raises(TrainingError, match="there is no teacher"):
        Distillation(DistillConfig(), None, 2, 1)


def test_the_mean_over_no_pixel_is_zero() -> None:
    assert masked_mean(torch.ones(2), torch.zeros(2, dtype=torch.bool)).item() == 0.0
