import hashlib
import json

import pytest

from stereo_dp_ros.core import models
from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.core.models import list_models, load_model


@pytest.fixture
def manifest_path(tmp_path):
    content = b"network"
    (tmp_path / "mine.onnx").write_bytes(content)
    manifest = {
        "name": "mine",
        "size_multiple": 32,
        "max_disparity_px": 192,
        "files": {"mine.onnx": hashlib.sha256(content).hexdigest()},
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(manifest))
    return path


def change(path, **values):
    manifest = json.loads(path.read_text())
    manifest.update(values)
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


def test_a_users_model_loads_by_its_manifest_or_its_onnx(manifest_path):
    model = load_model(manifest_path)
    assert (model.name, model.onnx_path) == ("mine", manifest_path.with_suffix(".onnx"))
    assert load_model(str(manifest_path.with_suffix(".onnx"))) == model


def test_8_bits_are_a_file_beside_the_other_one(manifest_path):
    assert load_model(manifest_path).int8_path is None
    quantized = manifest_path.with_name("mine.int8.onnx")
    quantized.write_bytes(b"rounded")
    files = json.loads(manifest_path.read_text())["files"]
    change(manifest_path, files={quantized.name: hashlib.sha256(b"rounded").hexdigest(), **files})
    model = load_model(manifest_path)
    assert (model.onnx_path.name, model.int8_path) == ("mine.onnx", quantized)
    quantized.write_bytes(b"round")
    with pytest.raises(ModelError, match=r"mine.int8.onnx: SHA-256 of its 5 bytes"):
        load_model(manifest_path)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ModelError, match="no model is named 'nope', there are") as caught:
        load_model("nope")
    assert all(name in str(caught.value) for name in list_models())


def test_a_missing_file_is_named(manifest_path):
    manifest_path.with_suffix(".onnx").unlink()
    with pytest.raises(ModelError, match="mine.onnx: no such file"):
        load_model(manifest_path)


@pytest.mark.parametrize("content", [b"netwo", b"NETWORK", b""])
def test_a_truncated_or_changed_file_is_refused(manifest_path, content):
    manifest_path.with_suffix(".onnx").write_bytes(content)
    with pytest.raises(ModelError, match=f"SHA-256 of its {len(content)} bytes is .*truncated or changed"):
        load_model(manifest_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": None, "files": None}, "lacks name, files"),
        ({"files": {"mine.bin": "0"}}, "files lists no .onnx"),
        ({"files": {"mine.int8.onnx": "0"}}, "files lists no .onnx"),
        ({"size_multiple": 0}, "size_multiple is 0, expected a whole number above 0"),
        ({"size_multiple": 32.0}, "size_multiple is 32.0, expected a whole number above 0"),
        ({"max_disparity_px": float("nan")}, "max_disparity_px is nan, expected a number above 0"),
        ({"scale": 0.4}, "scale is 0.4, expected a number in 0.5…2"),
        ({"min_area_px": 0.5}, "min_area_px is 0.5, expected a whole number, 0 or more"),
    ],
)
def test_a_manifest_says_what_it_lacks(manifest_path, values, expected):
    change(manifest_path, **values)
    with pytest.raises(ModelError, match=expected):
        load_model(manifest_path)


def test_a_manifest_that_is_no_json_is_named(manifest_path):
    manifest_path.write_text("{")
    with pytest.raises(ModelError, match="mine.json: is not JSON"):
        load_model(manifest_path)


def test_the_default_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "MODELS_DIR", tmp_path)
    for name in ("a", "z", models.DEFAULT_MODEL):
        (tmp_path / f"{name}.json").write_text("{}")
    assert list_models()[0] == models.DEFAULT_MODEL
    assert sorted(list_models()[1:]) == ["a", "z"]
