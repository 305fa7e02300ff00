"""Every name of TensorRT that the code uses is in the bindings of 10.3 (JetPack 6), of 10.16 and of 11.4.

`data/tensorrt_api.json` was recorded from the bindings' wheels on PyPI by `record_tensorrt_api.py`. Names behind `trt.`
are checked here; those of objects are checked by the stand-in, which has no others.
"""

import ast

import pytest
from standin_tensorrt import API, MAJORS, VERSIONS

# Taken only where `has_precision_flags` says so; gone in 11.
ONLY_IN_10 = {"BuilderFlag.FP16", "BuilderFlag.OBEY_PRECISION_CONSTRAINTS"}
MODULES = ("tensorrt_library", "tensorrt_onnx", "tensorrt_session", "tensorrt_torch2trt", "torch2trt_converters")


def names_of_trt(tree):
    """`Builder`, `BuilderFlag.FP16` …: the attributes that are asked of a variable named trt."""
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "trt":
            yield ".".join(parts)


@pytest.fixture(scope="module")
def used(repository):
    folder = repository / "stereo_dp_ros" / "backends"
    return {name for module in MODULES for name in names_of_trt(ast.parse((folder / f"{module}.py").read_text()))}


def lacking(names, version):
    """Those that the bindings of this version do not have."""
    table = API[version]
    missing = []
    for name in sorted(names - {"__version__"}):
        owner, _, member = name.partition(".")
        if owner not in table["module"] or (member and member not in table["classes"].get(owner, ())):
            missing.append(name)
    return missing


def test_the_code_uses_names(used):
    assert {"Builder", "BuilderFlag.TF32", "ILogger.ERROR", "ReduceOperation.MAX", "SampleMode.FILL", "uint8"} <= used


TABLES = [version for version in API if MAJORS[version] == 10]


def test_the_tables_are_of_the_versions_that_are_named():
    assert set(API) == {"10.3.0", "10.16.1.11", "11.4.0.106"} and set(VERSIONS.values()) < set(API)


@pytest.mark.parametrize("version", TABLES)
def test_every_name_is_in_10(used, version):
    assert lacking(used, version) == []


def test_every_name_is_in_11_but_those_of_weak_typing(used):
    assert set(lacking(used, VERSIONS[11])) == ONLY_IN_10


def test_a_name_that_there_is_not_is_found():
    found = lacking({"Builder", "Builder.build_engine", "BuilderFlag.FP16", "cuda"}, VERSIONS[11])
    assert found == ["Builder.build_engine", "BuilderFlag.FP16", "cuda"]


def test_what_tells_the_versions_apart_is_in_the_tables():
    layers = [API[VERSIONS[major]]["classes"]["ILayer"] for major in (10, 11)]
    assert "precision" in layers[0] and "precision" not in layers[1]
    assert "set_output_type" in layers[0] and "set_output_type" not in layers[1]


@pytest.mark.parametrize("version", TABLES)
@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("UnaryOperation", {"SQRT", "RECIP"}),
        (
            "INetworkDefinition",
            {
                "add_cast",
                "add_constant",
                "add_elementwise",
                "add_reduce",
                "add_shuffle",
                "add_slice",
                "add_softmax",
                "add_unary",
            },
        ),
        ("ISliceLayer", {"mode", "set_input", "get_output"}),
        ("IShuffleLayer", {"reshape_dims", "get_output"}),
        ("ISoftMaxLayer", {"axes", "get_output"}),
        ("ICudaEngine", {"serialize"}),
    ],
)
def test_the_names_of_our_torch2trt_converters_exist(owner, names, version):
    assert names <= set(API[version]["classes"][owner])
