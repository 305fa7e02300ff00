"""The parameter table agrees with the dataclass, the YAML file and the documentation."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from stereo_dp_ros.ros.parameters import PARAMETERS, NodeParameters


def test_dataclass_has_the_table_s_defaults() -> None:
    assert {field.name: field.default for field in fields(NodeParameters)} == {
        spec.name: spec.default for spec in PARAMETERS
    }


def test_yaml_has_every_parameter_with_its_default(repository: Path) -> None:
    text = (repository / "config" / "stereo.yaml").read_text()
    content = yaml.safe_load(text)
    assert content == {"/**": {"ros__parameters": {spec.name: spec.default for spec in PARAMETERS}}}
    comments = dict(re.findall(r"^    (\w+): .*?# (.*)$", text, re.MULTILINE))
    assert comments.keys() == {spec.name for spec in PARAMETERS}
    for spec in PARAMETERS:
        assert comments[spec.name].startswith("live; ") == spec.live
        if spec.minimum is not None:
            assert f"{spec.minimum:g}..." in comments[spec.name]
        assert all(choice in comments[spec.name] for choice in spec.choices)


def test_documentation_has_every_parameter_with_its_default(repository: Path) -> None:
    text = (repository / "docs" / "topics.md").read_text()
    lines = [line for line in text.split("## Parameters")[1].split("\n## ")[0].splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    documented = {name: (default, bounds, note) for names, default, bounds, note in rows for name in _names(names)}
    assert documented.keys() == {spec.name for spec in PARAMETERS}
    for spec in PARAMETERS:
        default, bounds, note = documented[spec.name]
        expected = f"`{spec.default}`" if isinstance(spec.default, str) else str(spec.default).lower()
        assert default == expected
        assert note.startswith("live; ") == spec.live
        assert all(choice in bounds for choice in spec.choices)
        if spec.minimum is not None and spec.maximum is not None:
            assert re.match(rf"{spec.minimum:g}…{spec.maximum:.0f}\b", bounds)


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("spec", PARAMETERS, ids=lambda spec: spec.name)
def test_numbers_have_ranges_and_defaults_are_inside(spec: object) -> None:
    if type(spec.default) in (int, float):
        assert spec.minimum <= spec.default <= spec.maximum
    if spec.choices:
        assert spec.default in spec.choices


def test_input_size() -> None:
    assert NodeParameters().input_size is None
    assert NodeParameters(inference_width=640, inference_height=384).input_size == (640, 384)
    with pytest.raises(ValueError, match="inference_width and inference_height: found 0 and 384, expected both"):
        NodeParameters(inference_height=384)


@pytest.mark.parametrize(("nearest", "farthest"), [(2.0, 1.0), (1.0, 1.0)])
def test_depth_limits_that_leave_nothing(nearest: float, farthest: float) -> None:
    with pytest.raises(ValueError, match="expected min_depth_m < max_depth_m"):
        NodeParameters(min_depth_m=nearest, max_depth_m=farthest)
    NodeParameters(min_depth_m=nearest, max_depth_m=0.0)
