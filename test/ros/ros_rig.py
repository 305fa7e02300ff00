"""Plays the cameras and a user around one node, all in the test's thread."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_scene import FRAME, PlaneScene, plane_estimator
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from stereo_dp_ros.ros.node import StereoNode
from stereo_dp_ros.ros.outputs import OUTPUTS

TIMEOUT_S = 8.0


class Rig:
    """A node under test, and a second participant that publishes to it and records what it publishes."""

    def __init__(self, domain_id: int) -> None:
        self._contexts = [Context(), Context()]
        for context in self._contexts:
            rclpy.init(context=context, domain_id=domain_id)
        self._executors = [SingleThreadedExecutor(context=context) for context in self._contexts]
        self.user = Node("user", context=self._contexts[1])
        self._executors[1].add_node(self.user)
        self.nodes: list[StereoNode] = []
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.diagnostics: list[DiagnosticStatus] = []
        self.publishers: dict[str, Any] = {}
        self._subscriptions: dict[str, Any] = {}
        self.user.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: self.diagnostics.extend(message.status), 10
        )
        self._stamp = 1000.0

    # The node under test

    def start(
        self, estimator: Any = None, *, wait: bool = True, namespace: str = "", factory: Any = None, **parameters: Any
    ) -> StereoNode:
        """Start a node with this estimator and these parameters; by default wait until it is active."""
        if estimator is None:
            estimator = plane_estimator(PlaneScene().disparity_px)
        node = StereoNode(
            estimator_factory=factory or (lambda _: estimator),
            context=self._contexts[0],
            namespace=namespace,
            parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
        )
        self._executors[0].add_node(node)
        self.nodes.append(node)
        if wait:
            self.until(lambda: node.active_run is not None, "the node is active")
        return node

    @property
    def node(self) -> StereoNode:
        return self.nodes[0]

    def close(self) -> None:
        for node in self.nodes:
            node.close()
            node.destroy_node()
        self.user.destroy_node()
        for executor in self._executors:
            executor.shutdown()
        for context in self._contexts:
            context.try_shutdown()

    # Time

    def spin(self) -> None:
        for executor in self._executors:
            executor.spin_once(timeout_sec=0.001)

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Spin until `condition` holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout_s} s: {what}; diagnostics: {self.describe()}")
            self.spin()

    def pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.spin()

    def describe(self) -> str:
        if not self.diagnostics:
            return "none"
        last = self.diagnostics[-1]
        return f"{last.message} {[(value.key, value.value) for value in last.values]}"

    # The cameras

    def advertise(
        self,
        topics: Iterable[str] = ("left/image_rect", "right/image_rect", "left/camera_info", "right/camera_info"),
        *,
        message_type: type | None = None,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
        match: bool = True,
    ) -> None:
        """Create publishers, and wait until the node has subscribed to them."""
        profile = QoSProfile(depth=10, reliability=reliability, durability=durability)
        for topic in topics:
            kind = message_type or (CameraInfo if topic.endswith("camera_info") else Image)
            self.publishers[topic] = self.user.create_publisher(kind, topic, profile)
        if match:
            self.until(
                lambda: all(self.publishers[topic].get_subscription_count() for topic in topics),
                f"the node subscribes to {', '.join(topics)}",
            )

    def unadvertise(self, *topics: str) -> None:
        for topic in topics:
            self.user.destroy_publisher(self.publishers.pop(topic))

    def header(self, stamp_s: float | None = None) -> Header:
        """A header with the next stamp, or this one."""
        if stamp_s is None:
            self._stamp += 0.1
            stamp_s = self._stamp
        header = Header(frame_id=FRAME)
        header.stamp.sec = int(stamp_s)
        header.stamp.nanosec = round((stamp_s - int(stamp_s)) * 1e9)
        return header

    def publish(self, **messages: Any) -> None:
        """Publish messages: `left_image_rect=...` goes to left/image_rect."""
        for name, message in messages.items():
            self.publishers[name.replace("_", "/", 1)].publish(message)

    def publish_infos(self, scene: PlaneScene | None = None) -> None:
        left, right = (scene or PlaneScene()).camera_infos()
        self.publish(left_camera_info=left, right_camera_info=right)

    def publish_scene(
        self, scene: PlaneScene | None = None, encoding: str = "rgb8", stamp_s: float | None = None
    ) -> Header:
        """Publish one pair; returns its header."""
        header = self.header(stamp_s)
        left, right = (scene or PlaneScene()).messages(encoding, header)
        self.publish(left_image_rect=left, right_image_rect=right)
        return header

    # The user

    def subscribe(self, *outputs: str, reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE) -> None:
        """Record these outputs, and wait until the node sees it."""
        for output in outputs:
            self._subscriptions[output] = self.user.create_subscription(
                OUTPUTS[output][0], output, self.received[output].append, QoSProfile(depth=50, reliability=reliability)
            )
        self.until(
            lambda: (
                all(self.user.count_publishers(output) for output in outputs)
                and all(self.nodes[0].count_subscribers(output) for output in outputs)
            ),
            f"the node publishes {', '.join(outputs)}",
        )

    def unsubscribe(self, *outputs: str) -> None:
        for output in outputs:
            self.user.destroy_subscription(self._subscriptions.pop(output))

    def connect(self, *outputs: str, scene: PlaneScene | None = None) -> None:
        """Advertise, subscribe, and let the node know the camera_info."""
        self.advertise()
        self.subscribe(*(outputs or ("disparity",)))
        self.publish_infos(scene)
        run = self.node.active_run
        assert run is not None
        self.until(lambda: all(info.received for info in run.camera_infos), "camera_info has come")

    def last(self, output: str, count: int = 1) -> Any:
        """The newest message of `output`, once `count` have come."""
        self.until(lambda: len(self.received[output]) >= count, f"{count} messages on {output}")
        return self.received[output][-1]

    def fault(self, text: str, meanwhile: Callable[[], Any] = lambda: None) -> DiagnosticStatus:
        """Wait for a status whose message contains `text`; ten times a second do `meanwhile`."""
        end = time.monotonic() + TIMEOUT_S
        while not any(text in status.message for status in self.diagnostics):
            assert time.monotonic() < end, f"diagnostics do not say {text!r}: {self.describe()}"
            meanwhile()
            self.pause(0.1)
        return next(status for status in reversed(self.diagnostics) if text in status.message)

    def values(self) -> dict[str, str]:
        """The values of a diagnostics message that is published from now on."""
        count = len(self.diagnostics)
        self.until(lambda: len(self.diagnostics) > count, "diagnostics")
        return {value.key: value.value for value in self.diagnostics[-1].values}
