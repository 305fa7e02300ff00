"""The view that `rviz:=true` opens shows topics that the node has."""

from __future__ import annotations

from pathlib import Path

import yaml

from stereo_dp_ros.ros.outputs import OUTPUTS


def test_displays_show_what_the_node_has(repository: Path) -> None:
    view = yaml.safe_load((repository / "config" / "stereo.rviz").read_text())
    topics = {
        display["Name"]: (display["Class"].split("/")[-1], display["Topic"]["Value"])
        for display in view["Visualization Manager"]["Displays"]
        if "Topic" in display
    }
    shown = set(topics.values())
    assert shown == {("PointCloud2", "points2"), ("Image", "left/image_rect"), ("Image", "disparity/color")}
    assert {topic for _, topic in shown} <= {*OUTPUTS, "left/image_rect"}
