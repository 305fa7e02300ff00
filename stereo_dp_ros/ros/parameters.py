"""The node's parameters: one table that is declared, validated and documented from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

__all__ = [
    "PARAMETERS",
    "NodeParameters",
    "ParameterSpec",
    "check_changes",
    "declare_parameters",
    "read_parameters",
    "unknown_parameters",
]


@dataclass(frozen=True)
class ParameterSpec:
    """One ROS parameter.

    `minimum`/`maximum` bound numbers (both included), `choices` bound strings. `live` parameters take effect at
    once, `read_only` ones are read when the node starts; the others are read when it is configured.
    """

    name: str
    default: bool | int | float | str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return the descriptor that `ros2 param describe` shows."""
        when = "Read when the node is configured."
        if self.live or self.read_only:
            when = "Takes effect at once." if self.live else "Read when the node starts."
        descriptor = ParameterDescriptor(
            name=self.name, description=f"{self.description} {when}", read_only=self.read_only
        )
        if self.choices:
            descriptor.additional_constraints = "one of: " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)
                ]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.minimum), to_value=float(self.maximum), step=0.0)
                ]
        return descriptor

    def reason_against(self, value: Any) -> str:
        """Return why `value` is not allowed, or an empty string."""
        if self.choices and value not in self.choices:
            return f"parameter {self.name}: found {value!r}, expected one of {', '.join(self.choices)}"
        return ""


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec("model", "default", "Name of a shipped model or path of a model's manifest."),
    ParameterSpec("backend", "auto", "Runtime of the network; auto takes the fastest that is installed."),
    ParameterSpec("precision", "auto", "Arithmetic of the backend; auto lets the backend choose."),
    ParameterSpec("threads", 0, "CPU threads of the backend; 0 lets the backend choose.", 0, 256),
    ParameterSpec("inference_width", 0, "Width in px that the network works at; 0 is the model's choice.", 0, 8192),
    ParameterSpec("inference_height", 0, "Height in px that the network works at; 0 is the model's choice.", 0, 8192),
    ParameterSpec("autostart", True, "Configure and activate without being asked to.", read_only=True),
    ParameterSpec("rectify", False, "Subscribe to image_raw and rectify both images from their camera_info."),
    ParameterSpec(
        "image_transport",
        "raw",
        "raw subscribes to sensor_msgs/Image, compressed to <topic>/compressed.",
        choices=("raw", "compressed"),
    ),
    ParameterSpec("approximate_sync", False, "Pair images whose stamps differ by less than sync_tolerance_s."),
    ParameterSpec("sync_tolerance_s", 0.01, "Largest stamp difference of a pair in s (approximate_sync).", 0.0, 10.0),
    ParameterSpec("queue_size", 10, "Images kept per side while their partner is missing.", 1, 1000),
    ParameterSpec(
        "sync_backend",
        "auto",
        "Who pairs images; auto takes message_filters where it is installed and works.",
        choices=("auto", "message_filters", "builtin"),
    ),
    ParameterSpec(
        "input_reliability",
        "auto",
        "Reliability of the subscriptions; auto takes what the publisher offers.",
        choices=("auto", "reliable", "best_effort"),
    ),
    ParameterSpec(
        "output_reliability", "reliable", "Reliability that the outputs offer.", choices=("reliable", "best_effort")
    ),
    ParameterSpec(
        "depth_encoding",
        "32FC1",
        "Encoding of depth: 32FC1 in m (NaN unknown) or 16UC1 in mm (0 unknown).",
        choices=("32FC1", "16UC1"),
    ),
    ParameterSpec(
        "points_color",
        "rgb",
        "Fourth field of the points: rgb, intensity (0...255) or none.",
        choices=("rgb", "intensity", "none"),
    ),
    ParameterSpec(
        "confidence_threshold",
        0.0,
        "depth and points2 are unknown where confidence is lower; 0 keeps all.",
        0.0,
        1.0,
        live=True,
    ),
    ParameterSpec("min_depth_m", 0.0, "depth and points2 are unknown nearer than this, in m.", 0.0, 1000.0, live=True),
    ParameterSpec(
        "max_depth_m",
        0.0,
        "depth and points2 are unknown beyond this, in m; 0 is no limit.",
        0.0,
        100000.0,
        live=True,
    ),
    ParameterSpec("points_decimation", 1, "points2 keeps every n-th row and column of the image.", 1, 64, live=True),
    ParameterSpec("max_rate_hz", 0.0, "Pairs processed per second at most; 0 is no limit.", 0.0, 1000.0, live=True),
    ParameterSpec(
        "max_age_s",
        1.0,
        "A pair received longer ago than this, in s, is dropped before inference; 0 keeps all.",
        0.0,
        3600.0,
        live=True,
    ),
    ParameterSpec(
        "rectification_check_period_s",
        30.0,
        "Seconds between two looks at whether the images are rectified; 0 never looks.",
        0.0,
        3600.0,
        live=True,
    ),
)

_SPEC_OF = {spec.name: spec for spec in PARAMETERS}


@dataclass(frozen=True)
class NodeParameters:
    """The values of `PARAMETERS` at one moment, field by field."""

    model: str = "default"
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    inference_width: int = 0
    inference_height: int = 0
    autostart: bool = True
    rectify: bool = False
    image_transport: str = "raw"
    approximate_sync: bool = False
    sync_tolerance_s: float = 0.01
    queue_size: int = 10
    sync_backend: str = "auto"
    input_reliability: str = "auto"
    output_reliability: str = "reliable"
    depth_encoding: str = "32FC1"
    points_color: str = "rgb"
    confidence_threshold: float = 0.0
    min_depth_m: float = 0.0
    max_depth_m: float = 0.0
    points_decimation: int = 1
    max_rate_hz: float = 0.0
    max_age_s: float = 1.0
    rectification_check_period_s: float = 30.0

    def __post_init__(self) -> None:
        if (self.inference_width == 0) != (self.inference_height == 0):
            raise ValueError(
                f"parameters inference_width and inference_height: found {self.inference_width} and "
                f"{self.inference_height}, expected both 0 or both set"
            )
        if 0.0 < self.max_depth_m <= self.min_depth_m:
            raise ValueError(
                f"parameters min_depth_m and max_depth_m: found {self.min_depth_m} and {self.max_depth_m}, "
                "expected min_depth_m < max_depth_m (or max_depth_m 0 for no limit)"
            )

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(width, height) in px that the network works at, or None for what the model chooses."""
        return (self.inference_width, self.inference_height) if self.inference_width else None


def declare_parameters(node: Node) -> NodeParameters:
    """Declare every parameter on `node` and return the start values.

    Raises
    ------
    ValueError : a value is not one of its choices, or two values contradict each other
    rclpy.exceptions.ParameterException : a value has the wrong type or is out of its range
    """
    for spec in PARAMETERS:
        value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        if reason := spec.reason_against(value):
            raise ValueError(reason)
    return read_parameters(node)


def unknown_parameters(node: Node) -> list[str]:
    """Return a line for each value that was given at start for a parameter that the node does not have."""
    lines = []
    for name in sorted(node._parameter_overrides):
        if node.has_parameter(name) or name.startswith("qos_overrides."):
            continue
        nearest = difflib.get_close_matches(name, _SPEC_OF, 1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(_SPEC_OF)}"
        lines.append(f"parameter {name} is unknown and ignored: {hint}")
    return lines


def read_parameters(node: Node, changes: Iterable[Parameter] = ()) -> NodeParameters:
    """Return the present values with `changes` laid over them; raises ValueError where two contradict."""
    values = {field.name: node.get_parameter(field.name).value for field in fields(NodeParameters)}
    values.update({change.name: change.value for change in changes if change.name in values})
    return NodeParameters(**values)


def check_changes(node: Node, changes: Iterable[Parameter], configured: bool) -> SetParametersResult:
    """Say whether `changes` may be set; while `configured` only live parameters may change."""
    changes = [change for change in changes if change.name in _SPEC_OF]
    for change in changes:
        spec = _SPEC_OF[change.name]
        if reason := spec.reason_against(change.value):
            return SetParametersResult(successful=False, reason=reason)
        if configured and not spec.live and change.value != node.get_parameter(change.name).value:
            reason = f"parameter {change.name} is read when the node is configured: deactivate and clean up first"
            return SetParametersResult(successful=False, reason=reason)
    try:
        read_parameters(node, changes)
    except ValueError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
