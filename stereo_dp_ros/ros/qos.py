"""Which quality of service to subscribe and publish with."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble keeps them in a module of another name
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = [
    "NO_PUBLISHER_EVENTS",
    "SubscriptionEventCallbacks",
    "UnsupportedEventTypeError",
    "input_profile",
    "output_profile",
]

_OUTPUT_DEPTH = 5

# Whatever events are waited for cost rclpy's executor time with each message that comes in.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)


def input_profile(reliability: str, depth: int, offered: Sequence[QoSProfile], *, latched: bool = False) -> QoSProfile:
    """Return the profile to subscribe with, given what the topic's publishers offer.

    A reliable subscription hears nothing from a best-effort publisher; a best-effort subscription loses most images
    larger than a network packet. So reliability is the strongest that every publisher offers.

    Parameters
    ----------
    reliability : ``auto``, or ``reliable`` or ``best_effort`` whatever is offered
    depth : messages kept until they are taken
    offered : profiles of the topic's publishers; without one, reliable and volatile
    latched : ask for the last message from before we subscribed, if every publisher keeps one
    """
    best_effort = any(profile.reliability == ReliabilityPolicy.BEST_EFFORT for profile in offered)
    if reliability != "auto":
        best_effort = reliability == "best_effort"
    kept = bool(offered) and all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched and kept else DurabilityPolicy.VOLATILE,
    )


def output_profile(reliability: str) -> QoSProfile:
    """Return the profile that outputs offer; `reliability` is ``reliable`` or ``best_effort``."""
    best_effort = reliability == "best_effort"
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_OUTPUT_DEPTH,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )
