import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.images import read_disparity, write_disparity, write_image
from stereo_dp_ros.core.models import DEFAULT_MODEL, list_models
from toy_model import write_toy_model

CALIB = "cam0=[400 0 30; 0 400 20; 0 0 1]\ncam1=[400 0 40; 0 400 20; 0 0 1]\nbaseline=100\n"


@pytest.fixture
def pair(tmp_path):
    """A gray scene in the layout PAIRS/<set>/<scene>; the toy model answers 10 px (left / 4)."""
    scene = tmp_path / "pairs" / "plain" / "wall"
    scene.mkdir(parents=True)
    write_image(scene / "im0.png", np.full((45, 70), 40, np.uint8))
    write_image(scene / "im1.png", np.full((45, 70), 255, np.uint8))
    truth = np.full((45, 70), 10.0, np.float32)
    truth[0] = np.nan
    truth[1, :35] = 12.5
    write_disparity(scene / "disp0.png", truth)
    (scene / "calib.txt").write_text(CALIB)
    return scene


@pytest.fixture
def toy(tmp_path):
    return str(write_toy_model(tmp_path))


def failing(capsys, *arguments):
    """Exit code and standard error of a run that should end in one line."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    return code, captured.err


def test_infer_writes_disparity_colour_points_and_json(pair, toy, tmp_path, capsys):
    out = tmp_path / "d.pfm"
    arguments = [
        "infer",
        pair / "im0.png",
        pair / "im1.png",
        "-o",
        out,
        "--model",
        toy,
        "--precision",
        "fp32",
    ]
    arguments += [
        "--calib",
        pair / "calib.txt",
        "--color",
        tmp_path / "c.png",
        "--points",
        tmp_path / "p.ply",
    ]
    assert main([str(a) for a in [*arguments, "--json"]]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["width"], summary["height"], summary["model"]) == (70, 45, "toy")
    assert summary["disparity_px"] == {"min": 10.0, "median": 10.0, "max": 10.0}
    assert summary["density"] == 100.0
    np.testing.assert_array_equal(read_disparity(out), np.full((45, 70), 10.0, np.float32))
    assert cv2.imread(str(tmp_path / "c.png")).shape == (45, 70, 3)
    header, body = (tmp_path / "p.ply").read_bytes().split(b"end_header\n")
    vertices = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    assert vertices.size == 45 * 70
    # Z = f·B / (d + doffs) = 40 / 20
    np.testing.assert_array_equal(vertices["xyz"][:, 2], np.full(45 * 70, 2.0, np.float32))
    np.testing.assert_allclose(vertices["xyz"][0], [(0 - 30) * 2 / 400, (0 - 20) * 2 / 400, 2.0], rtol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_infer_writes_the_other_formats(pair, toy, tmp_path, suffix):
    out = tmp_path / f"d.{suffix}"
    assert main(["infer", f"{pair}/im0.png", f"{pair}/im1.png", "-o", str(out), "--model", toy]) == 0
    np.testing.assert_allclose(read_disparity(out), 10.0, atol=0.04)


def test_evaluate_scores_every_labelled_pixel(pair, toy, tmp_path, capsys):
    assert main(["evaluate", str(pair.parent.parent), "--model", toy, "--precision", "fp32", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["backend"], report["precision"]) == ("toy", "openvino", "fp32")
    (scene,) = report["scenes"]
    assert (scene["set"], scene["scene"]) == ("plain", "wall")
    assert scene["bad_2"] == pytest.approx(100 * 35 / (44 * 70))
    assert scene["bad_3"] == 0.0
    assert scene["epe"] == pytest.approx(2.5 * 35 / (44 * 70))
    assert scene["density"] == 100.0 and scene["ms"] > 0
    (row,) = report["sets"]
    assert (row["name"], row["scenes"], row["epe"]) == ("plain", 1, scene["epe"])


def test_evaluate_has_null_for_an_error_that_no_pixel_has(pair, toy, capsys, monkeypatch):
    def answer_nothing(self, left, right):
        unknown = np.full(left.shape[:2], np.nan, np.float32)
        return DisparityMap(unknown, np.zeros_like(unknown), 0.0, 192.0)

    monkeypatch.setattr(StereoEstimator, "infer", answer_nothing)
    assert main(["evaluate", str(pair), "--model", toy, "--json"]) == 0

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    report = json.loads(capsys.readouterr().out, parse_constant=refuse)
    for row in (report["scenes"][0], report["sets"][0]):
        assert (row["epe"], row["bad_2"], row["density"]) == (None, 100.0, 0.0)


def test_evaluate_prints_a_table_and_writes_a_file(pair, toy, tmp_path, capsys):
    out = tmp_path / "report.json"
    assert main(["evaluate", str(pair), "--model", toy, "--json", str(out)]) == 0
    assert "plain/wall" in capsys.readouterr().out
    assert len(json.loads(out.read_text())["scenes"]) == 1


def test_evaluate_draws_a_row_for_each_pair(pair, toy, tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main(["evaluate", str(pair), "--model", toy, "--precision", "fp32", "--sheet", str(sheet)]) == 0
    picture = cv2.imread(str(sheet))
    row_px = 24 + round(320 * 45 / 70)
    assert picture.shape == (24 + 6 + row_px, 5 * (6 + 320), 3)
    error = picture[24 + 6 + 24 :, 4 * 326 + 6 :]
    none, much = cv2.applyColorMap(np.array([[0, round(255 * 2.5 / 4)]], np.uint8), cv2.COLORMAP_INFERNO)[0]
    assert error[100, 100].tolist() == none.tolist()
    assert np.abs(error[7, 80].astype(int) - much).max() < 40, "2.5 px, mixed a little with the rows beside it"


def test_evaluate_refuses_a_models_options_with_sgbm(pair, capsys):
    assert main(["evaluate", str(pair), "--method", "sgbm", "--model", "corr_m", "--threads", "1"]) == 2
    line = "stereo-dp evaluate: --method sgbm has no use for --model, --threads, expected --method model\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("method", ["sgbm", "sgbm-tuned"])
def test_sgbm_finds_a_shift_and_counts_its_holes_before_filling(tmp_path, capsys, method):
    scene = tmp_path / "set" / "noise"
    scene.mkdir(parents=True)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (60, 340), dtype=np.uint8), (0, 0), 1.2)
    write_image(scene / "im0.png", image[:, :320])
    write_image(scene / "im1.png", image[:, 20:])
    write_disparity(scene / "disp0.png", np.full((60, 320), 20.0, np.float32))
    assert main(["evaluate", str(tmp_path), "--method", method, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["backend"]) == (method, "opencv")
    # The first 20 columns are outside the right view; they are filled from the 21st.
    assert report["scenes"][0]["bad_1"] < 1.0
    assert 80 < report["scenes"][0]["density"] < 95


def test_models_lists_what_ships(capsys):
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_models()
    assert rows[0]["name"] == DEFAULT_MODEL and rows[0]["default"] is True
    assert all(row["parameters"] > 0 and row["macs_640x480"] > 0 for row in rows)
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert DEFAULT_MODEL in told
    for row in rows:  # a model that another was made of does not pass that one's training off as none
        words, samples = row["training"]["command"].split(), row["training"]["samples"]
        begun = f", its last run, from {words[words.index('--init') + 1]} as it was then" if "--init" in words else ""
        begun = ", its last run" if "training.pipeline" in words else begun
        assert f"  trained on procedural{begun}: {samples} samples, " in told
    assert ", its last run, from " in told


def test_models_tells_which_runtimes_work(capsys):
    assert main(["models", "--backends", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["openvino"] == {
        "name": "openvino", "device": "cpu", "precisions": ["fp32", "bf16", "int8"], "auto": 4, "reason": None
    }  # fmt: skip
    assert rows["onnxruntime:cpu"]["reason"] is None and rows["onnxruntime:cpu"]["auto"] == 5
    assert rows["onnxruntime:tensorrt"]["auto"] is None
    assert main(["models", "--backends"]) == 0
    assert "openvino              fp32 bf16 int8   works" in capsys.readouterr().out


def test_bench_puts_every_method_in_one_run(toy, capsys):
    arguments = ["bench", "--size", "160x96", "--rounds", "2", "--threads", "1", "--model", toy, "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {(row["method"], row["backend"], row["precision"]): row for row in report["rows"]}
    assert rows["MODE_SGBM", "opencv", "int16"]["ratio_to_sgbm"] == 1.0
    assert ("model", "onnxruntime", "fp32") in rows
    assert rows["model", "openvino", "fp32"]["model"] == "toy"
    assert all(row["size"] == "160x96" and row["median_ms"] > 0 for row in report["rows"])
    assert report["threads"] == 1


def test_bench_takes_several_sizes_other_networks_and_scores(toy, pair, capsys):
    sizes = ["--size", "160x96", "--size", "150x70"]
    chosen = ["--model", toy, "--backend", "onnxruntime", "--onnx", str(Path(toy).with_suffix(".onnx"))]
    arguments = [*sizes, *chosen, "--pairs", str(pair.parents[1]), "--rounds", "1", "--threads", "1", "--json"]
    assert main(["bench", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["size"] for row in rows} == {"160x96", "150x70"}
    assert all(row["ratio_to_sgbm"] == 1.0 for row in rows if row["method"] == "MODE_SGBM")
    ours = [row for row in rows if row["method"] == "model"]
    assert {(row["model"], row["backend"], row["device"]) for row in ours} == {("toy", "onnxruntime", "CPU")}
    assert all(set(row["accuracy"]) == {pair.parent.name} for row in ours)
    peers = {(row["model"], row["backend"], row["precision"]) for row in rows if row["method"] == "peer"}
    assert {("toy", "onnxruntime", "fp32"), ("toy", "openvino", "fp32")} <= peers


def test_bench_tells_a_network_that_is_none_of_two_images(toy, tmp_path, capsys):
    path = tmp_path / "one.onnx"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["answer"])], "one", [image], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert main(["bench", "--model", toy, "--backend", "onnxruntime", "--onnx", str(path)]) == 2
    assert capsys.readouterr().err.endswith("its inputs are image of 4 dimensions, expected two images (1, 3, H, W)\n")
    assert main(["bench", "--model", toy, "--backend", "onnxruntime", "--onnx", str(tmp_path / "no.onnx")]) == 2
    assert "no.onnx: there is no such file" in capsys.readouterr().err
    assert main(["bench", "--model", toy, "--backend", "none"]) == 2
    assert "no backend is named 'none'" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_2(pair, toy, tmp_path, capsys):
    im0, im1, out = pair / "im0.png", pair / "im1.png", tmp_path / "d.pfm"
    small = tmp_path / "small.png"
    write_image(small, np.zeros((10, 10), np.uint8))
    cases = [
        (["infer", im0, tmp_path / "none.png", "-o", out], "none.png: cannot be read (No such file"),
        (["infer", im0, pair / "calib.txt", "-o", out], "calib.txt: is no image that can be decoded"),
        (["infer", im0, small, "-o", out], "left is 70x45 gray and right is 10x10 gray"),
        (
            ["infer", im0, im1, "-o", tmp_path / "d.tif", "--model", toy],
            "suffix is .tif, expected .png, .pfm",
        ),
        (["infer", im0, im1, "-o", tmp_path / "no" / "d.pfm", "--model", toy], "cannot be written"),
        (["infer", im0, im1, "-o", out, "--model", "nope"], "no model is named 'nope', there are"),
        (["infer", im0, im1, "-o", out, "--model", toy, "--backend", "nope"], "no backend is named 'nope'"),
        (["infer", im0, im1, "-o", out, "--points", "p.ply"], "--points needs --calib"),
        (["infer", im0, im1, "-o", out, "--points", "p.obj", "--calib", "c.txt"], "p.obj, expected a .ply file"),
        (["infer", im0, im1, "-o", out, "--calib", tmp_path / "none.txt"], "none.txt: cannot be read (No such file"),
        (["infer", im0, im1, "-o", out, "--calib", im0], "im0.png: cannot be read (not text), expected Middlebury's"),
        (["infer", im0, im1, "-o", out, "--inference-size", "99999x99999"], "expected at most 16777216 px in all"),
        (["infer", im0, im1], "the following arguments are required: -o/--output"),
        (["evaluate", tmp_path / "none"], "none: no such folder"),
        (["evaluate", tmp_path / "pairs", "--method", "nope"], "invalid choice: 'nope'"),
        (["evaluate", tmp_path, "--threads", "257"], "'257', expected a whole number from 1 to 256"),
        (["bench", "--threads", "0"], "'0', expected a whole number from 1 to 256"),
        (["bench", "--size", "640"], "'640', expected WIDTHxHEIGHT"),
        (
            ["evaluate", pair, "--model", toy, "--json", tmp_path / "no" / "r.json"],
            "r.json: cannot be written, expected a",
        ),
        (
            ["evaluate", pair, "--model", toy, "--sheet", tmp_path / "no" / "s.png"],
            "s.png: cannot be written, expected a",
        ),
        (["bench", "--size", "144x14"], "size is 144x14, expected at least 15 px of height for BM"),
        (["bench", "--model", toy, "--pairs", tmp_path / "none"], "none: no such folder, expected PAIRS/"),
        (["bench", "--size", "100x70"], "size is 100x70, expected at least 144 px of width for SGBM"),
        (["demo", "--model", "nope"], "no model is named 'nope', there are"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required: COMMAND"),
    ]
    for arguments, expected in cases:
        code, text = failing(capsys, *arguments)
        assert (code, expected in text) == (2, True), text


def test_truncated_image_is_one_line_too(pair, tmp_path):
    cut = tmp_path / "cut.png"
    cut.write_bytes((pair / "im0.png").read_bytes()[:60])
    command = [sys.executable, "-m", "stereo_dp_ros.cli.main", "infer", cut, pair / "im1.png", "-o", tmp_path / "d.pfm"]
    run = subprocess.run(command, capture_output=True, text=True)
    line = f"stereo-dp infer: {cut}: is no image that can be decoded, expected PNG, JPEG, PFM or the like\n"
    ours = [text for text in run.stderr.splitlines(keepends=True) if not text.startswith("libpng ")]  # OpenCV 4.5's
    assert (run.returncode, ours) == (2, [line])


def test_a_scene_that_lacks_a_file_is_named(pair, toy, capsys):
    (pair / "disp0.png").unlink()
    code, text = failing(capsys, "evaluate", pair.parent.parent, "--model", toy)
    assert code == 2 and f"{pair}: lacks disp0.png or disp0.pfm" in text
    shutil.copy(pair / "calib.txt", pair / "disp0.png")
    code, text = failing(capsys, "evaluate", pair.parent.parent, "--model", toy)
    assert code == 2 and "disp0.png: is no image" in text


def test_every_real_pair_can_be_inferred(data_folder, tmp_path, capsys):
    for folder in sorted((data_folder / "pairs").glob("*/*")):
        out = tmp_path / "d.pfm"
        assert main(["infer", f"{folder}/im0.png", f"{folder}/im1.png", "-o", str(out), "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert read_disparity(out).shape == (summary["height"], summary["width"])


def test_help_names_every_command():
    run = subprocess.run(
        [sys.executable, "-m", "stereo_dp_ros.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    assert all(name in run.stdout for name in ("infer", "evaluate", "models", "bench", "demo"))
