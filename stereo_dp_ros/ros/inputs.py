"""Subscriptions that follow their publishers: reliability and durability are re-taken when these change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.subscription import Subscription

from stereo_dp_ros.ros.faults import FaultLog, Severity
from stereo_dp_ros.ros.qos import SubscriptionEventCallbacks, UnsupportedEventTypeError, input_profile

__all__ = ["Input"]


class Input:
    """One subscribed topic.

    Parameters
    ----------
    node, message_type, callback : as for ``create_subscription``
    name : of the topic, before it is remapped
    reliability : ``auto``, ``reliable`` or ``best_effort``
    depth : messages kept until they are taken
    latched : take a message from before we subscribed where the publisher keeps one
    faults : where lost messages and publishers that do not fit are told
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        name: str,
        callback: Callable[[Any], None],
        *,
        reliability: str,
        depth: int,
        latched: bool,
        faults: FaultLog,
    ) -> None:
        self.topic = node.resolve_topic_name(name)
        self.lost = 0
        self.received = 0
        self.received_ns = time.monotonic_ns()
        self.last_stamp: Any = None
        self._node = node
        self._name = name  # for what remaps it itself
        self._message_type = message_type
        self._callback = callback
        self._reliability = reliability
        self._depth = depth
        self._latched = latched
        self._faults = faults
        self._profile = self._wanted_profile()
        self._subscription: Subscription | None = self._subscribe()

    @property
    def publisher_count(self) -> int:
        """Publishers of the topic, whether or not their quality of service fits."""
        return int(self._node.count_publishers(self.topic))

    @property
    def offered_types(self) -> set[str]:
        """Types that the topic's publishers have, as ``sensor_msgs/msg/Image``."""
        return {info.topic_type for info in self._node.get_publishers_info_by_topic(self._name)}

    @property
    def type_name(self) -> str:
        """The expected type, as ``sensor_msgs/msg/Image``."""
        package = self._message_type.__module__.split(".")[0]
        return f"{package}/msg/{self._message_type.__name__}"

    @property
    def reliability(self) -> str:
        """What is subscribed with: ``reliable`` or ``best_effort``."""
        return str(self._profile.reliability.name).lower()

    def refresh(self) -> None:
        """Subscribe anew if the publishers now offer something else."""
        if self._subscription is None:
            return
        if not self.publisher_count:
            self._faults.resolve(f"qos {self.topic}")
            return
        wanted = self._wanted_profile()
        if (wanted.reliability, wanted.durability) == (self._profile.reliability, self._profile.durability):
            return
        self._node.destroy_subscription(self._subscription)
        self._profile = wanted
        self._subscription = self._subscribe()

    def close(self) -> None:
        """Unsubscribe."""
        self._faults.resolve(f"qos {self.topic}")
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _wanted_profile(self) -> QoSProfile:
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(self._name)]
        return input_profile(self._reliability, self._depth, offered, latched=self._latched)

    def _subscribe(self) -> Subscription:
        # Whatever event is waited for costs rclpy's executor time with each message.
        events: dict[str, Any] = {"use_default_callbacks": False}
        if self._reliability != "auto":  # which takes what is offered at the next refresh
            events["incompatible_qos"] = self._on_incompatible
        try:
            return self._create(SubscriptionEventCallbacks(message_lost=self._on_lost, **events))
        except UnsupportedEventTypeError:
            return self._create(SubscriptionEventCallbacks(**events))

    def _create(self, events: SubscriptionEventCallbacks) -> Subscription:
        return self._node.create_subscription(
            self._message_type, self._name, self._on_message, self._profile, event_callbacks=events
        )

    def _on_message(self, message: Any) -> None:
        self.received += 1
        self.received_ns = time.monotonic_ns()
        self.last_stamp = message.header.stamp
        self._callback(message)

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self._faults.report(
            f"qos {self.topic}",
            f"{self.topic}: a publisher offers incompatible {policy}, expected {self.reliability} "
            "(set input_reliability to auto)",
            lasting=True,
        )

    def _on_lost(self, event: Any) -> None:
        self.lost += event.total_count_change
        self._faults.report(
            f"lost {self.topic}",
            f"{self.topic}: {event.total_count_change} messages lost on the way ({event.total_count} in all); give the "
            "publisher's process the large-message DDS profile, or publish reliable",
            Severity.WARN,
        )
