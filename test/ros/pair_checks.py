"""What must hold of a node's counts, and of a node whose trouble is over."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from ros_rig import Rig
from ros_scene import PlaneScene

from stereo_dp_ros.ros.node import StereoNode


def counts(node: StereoNode) -> tuple[int, int, dict[str, int]]:
    run = node.active_run
    assert run is not None
    return run.counts.snapshot()


def settled_counts(rig: Rig, node: StereoNode) -> tuple[int, int, dict[str, int]]:
    """The counts once no pair is in flight: a pair is counted after its last output, which may be here before."""
    rig.until(lambda: counts(node)[0] == counts(node)[1] + sum(counts(node)[2].values()), "no pair is in flight")
    return counts(node)


def assert_closed(rig: Rig, node: StereoNode) -> None:
    """Every message of each side, and every pair, is accounted for."""
    run = node.active_run
    assert run is not None
    settled_counts(rig, node)
    synchronizer = run.synchronizer
    for side in (0, 1):
        accounted = synchronizer.matched + synchronizer.unmatched[side] + synchronizer.waiting[side]
        assert synchronizer.received[side] == accounted
    assert synchronizer.matched == counts(node)[0]


def assert_recovers(rig: Rig, node: StereoNode, scene: PlaneScene | None = None) -> None:
    """A good pair comes out, and diagnostics turn OK."""
    before = len(rig.received["disparity"])
    rig.publish_scene(scene)
    rig.last("disparity", before + 1)
    for _ in range(100):
        rig.publish_scene(scene)
        rig.pause(0.1)
        last = rig.diagnostics[-1]
        if last.level == DiagnosticStatus.OK and last.message == "pairs are processed":
            break
    assert rig.diagnostics[-1].level == DiagnosticStatus.OK, rig.describe()
    assert rig.diagnostics[-1].message == "pairs are processed"
    assert_closed(rig, node)
