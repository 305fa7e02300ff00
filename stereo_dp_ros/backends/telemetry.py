"""Keeps the runtimes from reporting their use."""

from __future__ import annotations

import os
import sys

__all__ = ["disable_telemetry"]


def disable_telemetry() -> None:
    """Before a runtime is imported: a robot's node neither phones home nor leaves identifiers in HOME.

    OpenVINO sends an event when it is imported, unless its package openvino_telemetry cannot be; it then takes a
    stub of its own. ONNX Runtime (since 1.29 on Linux) reports sessions unless ORT_DISABLE_TELEMETRY is set; a
    value that the user has set stays.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
