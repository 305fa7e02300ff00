from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stereo_dp_ros.core.models import DEFAULT_MODEL
from stereo_dp_ros.networks import build_network
from training.errors import TrainingError
from training.teacher import CachedTeacher, NetworkTeacher, TeacherOutput, open_teacher

TEACHER = {"type": "psmnet", "config": {"max_disparity_px": 32, "width": 4, "stage_blocks": [1, 1, 1, 1]}}


def images(seed: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.rand(count, 3, 32, 64, generator=generator) * 255 for _ in range(2))
    return left, right


def network_teacher(seed: int = 0) -> NetworkTeacher:
    torch.manual_seed(seed)
    return NetworkTeacher(build_network(TEACHER))


def test_a_network_teaches_by_its_logits_without_gradients() -> None:
    teacher = network_teacher()
    output = teacher(*images(0), [0, 1])
    assert output.logits is not None and output.logits.shape == (2, 32, 8, 16)
    assert not output.logits.requires_grad
    assert output.bin_px == 1.0
    assert teacher.identity == network_teacher().identity != network_teacher(1).identity


class Counted:
    identity = "counted"
    bin_px = 2.0

    def __init__(self, sure: bool) -> None:
        self.calls = 0
        self.sure = sure

    def __call__(self, left: torch.Tensor, right: torch.Tensor, samples: list[int]) -> TeacherOutput:
        self.calls += 1
        if self.sure:
            return TeacherOutput(disparity=left[:, :1] / 3, confidence=right[:, :1] / 255)
        return TeacherOutput(logits=left[:, :, ::4, ::4] / 3, bin_px=self.bin_px)


@pytest.mark.parametrize("sure", [True, False])
def test_kept_answers_are_the_teachers(tmp_path: Path, sure: bool) -> None:
    teacher = Counted(sure)
    kept = CachedTeacher(teacher, tmp_path, "scenes", 1e6)
    first, second = kept(*images(0), [4, 5]), kept(*images(0), [4, 5])
    swapped = CachedTeacher(teacher, tmp_path, "scenes", 1e6)(*images(0), [5, 4])
    assert teacher.calls == 1
    assert second.bin_px == first.bin_px == 2.0
    for name, value in first.tensors().items():  # so that a run that is resumed has the losses of an uninterrupted one
        assert torch.equal(second.tensors()[name], value)
        assert torch.equal(swapped.tensors()[name], value.flip(0))
    asked = Counted(sure)(*images(0), [4, 5])
    for name, value in first.tensors().items():
        tolerance = {"rtol": 0.0, "atol": 0.0} if sure else {"rtol": 1e-3, "atol": 1e-3}  # logits in half precision
        torch.testing.assert_close(value, asked.tensors()[name], **tolerance)


def test_logits_too_large_for_half_precision_stay_finite(tmp_path: Path) -> None:
    teacher = Counted(False)
    kept = CachedTeacher(teacher, tmp_path, "scenes", 1e6)
    left, right = images(0)
    left[0, 0] = -3e9
    logits = [kept(left, right, [0, 1]).logits for _ in range(2)]
    assert teacher.calls == 1
    for found in logits:
        assert found is not None and float(found.min()) == -65504.0


def test_other_samples_are_asked_anew_and_a_full_cache_keeps_no_more(tmp_path: Path) -> None:
    teacher = Counted(False)
    kept = CachedTeacher(teacher, tmp_path, "scenes", 2 * 3 * 8 * 16 * 2)  # room for two samples in half precision
    for samples in ([0, 1], [2, 3], [2, 3], [0, 1]):
        kept(*images(0), samples)
    assert teacher.calls == 3
    CachedTeacher(teacher, tmp_path, "others", 1e6)(*images(0), [0, 1])
    assert teacher.calls == 4


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    kept = CachedTeacher(Counted(False), tmp_path, "scenes", 1e6)
    kept(*images(0), [0, 1])
    (kept.folder / "000000001.safetensors").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"000000001\.safetensors: cannot be read .* computed anew"):
        kept(*images(0), [0, 1])


def test_a_file_of_another_kind_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"weights\.bin: is no teacher; expected a checkpoint \(\.pt\) or the manifest"
    ):
        open_teacher(tmp_path / "weights.bin")


def test_a_shipped_model_teaches_by_disparity_and_confidence(repository: Path) -> None:
    teacher = open_teacher(repository / "stereo_dp_ros" / "models" / f"{DEFAULT_MODEL}.json")
    output = teacher(*images(0, 1), [0])
    assert output.logits is None
    assert output.disparity is not None and output.disparity.shape == (1, 1, 32, 64)
    assert output.confidence is not None and 0 <= output.confidence.min() <= output.confidence.max() <= 1
