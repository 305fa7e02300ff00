"""`stereo-dp bench`: what is timed, and what is told of the rest."""

import json
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from stereo_dp_ros.backends import cuda_driver
from stereo_dp_ros.backends.openvino_backend import OpenVinoBackend
from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.errors import BackendError
from toy_model import write_toy_model


@pytest.fixture
def command(tmp_path, monkeypatch):
    """On a machine without a GPU."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    return ["bench", "--model", str(write_toy_model(tmp_path)), "--size", "160x64", "--rounds", "1", "--json"]


@pytest.mark.parametrize("backend", ["tensorrt", "torch:cuda", "onnxruntime:cuda"])
def test_a_named_runtime_that_cannot_be_used_is_one_line(command, capsys, backend):
    assert main([*command, "--backend", backend]) == 2
    reason = "no NVIDIA driver is installed (libno-such-driver.so.1 not found)"
    assert capsys.readouterr().err == f"stereo-dp bench: backend {backend} cannot be used: {reason}\n"


def test_what_fails_at_a_size_is_left_out_and_the_others_are_timed(command, capsys, monkeypatch):
    def infer(self, left, right):
        if left.shape[1] == 192:
            raise BackendError("no engine of toy for 192x64")
        return answer(self, left, right)

    answer = OpenVinoBackend.infer
    monkeypatch.setattr(OpenVinoBackend, "infer", infer)
    backends = ["--backend", "openvino", "--backend", "onnxruntime"]
    assert main([*command, "--size", "192x64", *backends]) == 0
    out, err = capsys.readouterr()
    timed = [(row["size"], row["backend"]) for row in json.loads(out)["rows"] if row["method"] == "model"]
    assert set(timed) == {("160x64", "openvino"), ("160x64", "onnxruntime"), ("192x64", "onnxruntime")}
    lines = err.splitlines()
    assert all(line.endswith("at 192x64: no engine of toy for 192x64") for line in lines)
    assert lines[0].startswith("left out toy on openvino fp32")


def test_a_peer_must_be_an_onnx_file(command, capsys, tmp_path):
    other = tmp_path / "README.md"
    other.write_text("# no network")
    assert main([*command, "--backend", "onnxruntime:cpu", "--onnx", str(other)]) == 2
    assert capsys.readouterr().err == f"stereo-dp bench: {other}: expected an ONNX file (.onnx)\n"


def test_a_peer_of_another_size_is_left_out(command, capsys, tmp_path):
    images = [helper.make_tensor_value_info(side, TensorProto.FLOAT, [1, 3, 32, 32]) for side in ("left", "right")]
    flat = helper.make_tensor_value_info("flat", TensorProto.FLOAT, [1, 3 * 32 * 32])
    nodes = [
        helper.make_node("Sub", ["left", "right"], ["difference"]),
        helper.make_node("Reshape", ["difference", "shape"], ["flat"]),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 3 * 32 * 32])
    graph = helper.make_graph(nodes, "fixed", images, [flat], [shape])
    path = tmp_path / "fixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert main([*command, "--backend", "onnxruntime:cpu", "--onnx", str(path)]) == 0
    out, err = capsys.readouterr()
    assert [row["method"] for row in json.loads(out)["rows"]].count("peer") == 0
    left_out = [line for line in err.splitlines() if line.startswith("left out fixed on ")]
    assert any(line.startswith("left out fixed on openvino fp32 at 160x64: openvino failed (") for line in left_out)
    assert any(
        line.startswith("left out fixed on onnxruntime fp32 at 160x64: onnxruntime failed (") for line in left_out
    )


WITHOUT_BAGS = """
import sys
sys.modules["rosbags"] = sys.modules["rclpy"] = None
from stereo_dp_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_needs_neither_ros_nor_bags(command, repository):
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_BAGS, *command, "--backend", "onnxruntime:cpu"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert [row["backend"] for row in json.loads(run.stdout)["rows"]][-1] == "onnxruntime"
