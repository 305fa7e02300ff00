"""Networks with 8-bit convolutions: which ones they are, and that the answer stays."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stereo_dp_ros.core.models import Manifest, load_model
from stereo_dp_ros.core.pairs import PairFolder
from training import export
from training.errors import TrainingError
from training.export import export_model
from training.quantize import end_convolutions, quantize_onnx


class Shifted(PairFolder):
    """Noise, 8 px apart."""

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        wide = np.random.default_rng(0).integers(0, 256, (64, 136, 3), dtype=np.uint8)
        return np.ascontiguousarray(wide[:, :128]), np.ascontiguousarray(wide[:, 8:])


PAIRS: Sequence[PairFolder] = [Shifted("noise", "0", Path("0"))]
MANIFEST = Manifest("noise", 32, 92.0, {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A shipped network's ONNX file and the same with 8-bit convolutions."""
    quantized = tmp_path_factory.mktemp("onnx") / "made.int8.onnx"
    plain = load_model("corr_m_fast").onnx_path
    quantize_onnx(plain, quantized, PAIRS, MANIFEST)
    return plain, quantized


def test_all_convolutions_have_8_bits_but_the_first_and_the_last(files: tuple[Path, Path]) -> None:
    plain, quantized = (onnx.load(path).graph for path in files)
    shapes = {value.name: list(value.dims) for value in plain.initializer}
    convolutions = {node.name: node for node in plain.node if node.op_type == "Conv"}
    ends = end_convolutions(plain)
    weights = [shapes[convolutions[name].input[1]] for name in ends]
    assert [shape[1] for shape in weights].count(3) == 1  # sees RGB
    assert sorted(shape[0] for shape in weights if shape[1] != 3) == [8, 8, *9 * [16]]  # 2×2×2 logits, twice; weights

    dequantized = {node.output[0] for node in quantized.node if node.op_type == "DequantizeLinear"}
    found = {node.name: node.input[1] in dequantized for node in quantized.node if node.op_type == "Conv"}
    assert found == {name: name not in ends for name in convolutions}
    kept = [node for node in quantized.node if node.op_type in ("ReduceSum", "ReduceMax", "MatMul")]
    assert not dequantized.intersection(name for node in kept for name in node.input)


def test_the_answer_stays(files: tuple[Path, Path]) -> None:
    left, right = (image.transpose(2, 0, 1)[None].astype(np.float32) for image in PAIRS[0].images())
    answers = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"left": left, "right": right})
        for path in files
    ]
    for disparity, _ in answers:
        seen = np.asarray(disparity)[0, 0, 8:-8, 24:-8]  # where the match lies in the right image
        assert np.median(np.abs(seen - 8.0)) < 0.25
    assert (np.asarray(answers[0][0]) != np.asarray(answers[1][0])).any()


def test_a_model_is_exported_anew_with_8_bits_and_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = load_model("corr_m_fast")
    # The exporter takes half a minute; test_export.py runs it.
    monkeypatch.setattr(export, "export_onnx", lambda _network, path: shutil.copy(shipped.onnx_path, path))
    path = export_model("corr_m_fast", "again", tmp_path, scale=0.5, quantize_on=PAIRS)
    made = load_model(path)
    assert sorted(made.manifest.files) == ["again.int8.onnx", "again.onnx", "again.safetensors"]
    assert made.int8_path == tmp_path / "again.int8.onnx"
    assert made.manifest.scale == 0.5
    assert made.manifest.training == shipped.manifest.training
    assert made.manifest.network == shipped.manifest.network
    assert capsys.readouterr().out == ""  # NNCF's progress is no result
    without = load_model(export_model("corr_m_fast", "again", tmp_path, scale=0.5))
    assert sorted(file.name for file in tmp_path.glob("again*")) == ["again.json", *sorted(without.manifest.files)]


def test_without_nncf_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(TrainingError, match=r"8 bits need NNCF .*; expected pip install -r requirements/test\.txt"):
        quantize_onnx(load_model().onnx_path, tmp_path / "x", PAIRS, MANIFEST)
