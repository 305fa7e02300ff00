"""Pairing of left and right images by stamp, with message_filters where it works and without it elsewhere.

Both ways pair the same messages: exact stamps as its TimeSynchronizer, near stamps as its
ApproximateTimeSynchronizer (nearest first, difference strictly below the tolerance, smallest stamp evicted).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from std_msgs.msg import Header

from stereo_dp_ros.core.stamp_pairing import StampQueues

__all__ = ["ImagePair", "StereoSynchronizer", "TimedMessage", "create_pairing"]

SIDES = ("left", "right")
JUMP_BACK_NS = 500_000_000  # a stamp this far behind the newest is a restarted clock, not a late message


@dataclass(frozen=True, eq=False)
class TimedMessage:
    """A message with the steady time at which it was received."""

    message: Any
    received_ns: int

    @property
    def header(self) -> Header:
        """The message's header, which message_filters reads."""
        header: Header = self.message.header
        return header

    @property
    def stamp_ns(self) -> int:
        """The header's stamp in ns."""
        stamp = self.message.header.stamp
        return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


@dataclass(frozen=True, eq=False)
class ImagePair:
    """A left and a right message that belong together."""

    left: TimedMessage
    right: TimedMessage

    @property
    def received_ns(self) -> int:
        """When the pair was complete, on the steady clock."""
        return max(self.left.received_ns, self.right.received_ns)


PairCallback = Callable[[TimedMessage, TimedMessage], None]


class _Pairing(Protocol):
    """What pairs messages: queues by stamp, one per side, and a call for each pair."""

    name: str
    queues: list[dict[int, TimedMessage]]

    def add(self, side: int, message: TimedMessage) -> None: ...


class BuiltinPairing:
    """The equivalent of message_filters for two inputs. Nothing is kept beyond `queue_size` per side."""

    name = "builtin"

    def __init__(self, queue_size: int, tolerance_ns: int | None, on_pair: PairCallback) -> None:
        self._stamps: StampQueues[TimedMessage] = StampQueues(queue_size, tolerance_ns)
        self.queues: list[dict[int, TimedMessage]] = self._stamps.queues
        self._on_pair = on_pair

    def add(self, side: int, message: TimedMessage) -> None:
        """Queue `message` (side 0 left, 1 right) and hand over the pair it completes."""
        pair = self._stamps.add(side, message.stamp_ns, message)
        if pair is not None:
            self._on_pair(*pair)


class MessageFiltersPairing:
    """message_filters' own synchronizers, fed from our subscriptions."""

    name = "message_filters"

    def __init__(self, queue_size: int, tolerance_ns: int | None, on_pair: PairCallback) -> None:
        import message_filters

        self._inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
        if tolerance_ns is None:
            self._synchronizer = message_filters.TimeSynchronizer(self._inputs, queue_size)
        else:
            self._synchronizer = message_filters.ApproximateTimeSynchronizer(
                self._inputs, queue_size, tolerance_ns * 1e-9
            )
        self._synchronizer.registerCallback(on_pair)
        self.queues: list[dict[int, TimedMessage]] = self._synchronizer.queues

    def add(self, side: int, message: TimedMessage) -> None:
        """Hand `message` (side 0 left, 1 right) to message_filters."""
        self._inputs[side].signalMessage(message)


def create_pairing(
    backend: str, queue_size: int, tolerance_ns: int | None, on_pair: PairCallback
) -> tuple[_Pairing, str]:
    """Return what pairs messages, and why it is not message_filters (empty if it is, or was not asked for).

    Parameters
    ----------
    backend : ``auto``, ``message_filters`` or ``builtin``
    queue_size : messages kept per side
    tolerance_ns : stamps may differ by less than this; None pairs equal stamps only

    Raises
    ------
    ValueError : ``message_filters`` was asked for and is not installed or does not work
    """
    if backend == "builtin":
        return BuiltinPairing(queue_size, tolerance_ns, on_pair), ""
    reason = _reason_against_message_filters()
    if not reason:
        return MessageFiltersPairing(queue_size, tolerance_ns, on_pair), ""
    if backend == "message_filters":
        raise ValueError(f"parameter sync_backend: found message_filters, but {reason}; expected auto or builtin")
    return BuiltinPairing(queue_size, tolerance_ns, on_pair), reason


def _reason_against_message_filters() -> str:
    """Pair one probe with message_filters; return what is wrong with it, or an empty string."""
    paired: list[TimedMessage] = []
    probe = TimedMessage(_Probe(Header()), 0)
    try:
        pairing = MessageFiltersPairing(2, None, lambda left, right: paired.extend((left, right)))
        pairing.add(0, probe)
        pairing.add(1, probe)
    except ImportError as error:
        return f"message_filters is not installed ({error})"
    except Exception as error:  # its internals differ between releases
        return f"message_filters fails ({type(error).__name__}: {error})"
    if paired != [probe, probe] or any(pairing.queues):
        return "message_filters does not pair two equal stamps"
    return ""


@dataclass(frozen=True)
class _Probe:
    header: Header


class StereoSynchronizer:
    """Pairs messages and accounts for every one of them.

    For each side ``received = matched + unmatched + waiting`` at any time. When stamps jump back (a bag loops, a
    clock restarts) what waits from after the jump is let go: left alone it would evict every new message.

    Parameters
    ----------
    backend, queue_size, tolerance_ns : see `create_pairing`
    on_pair : called with each pair, within `add`
    """

    def __init__(
        self, backend: str, queue_size: int, tolerance_ns: int | None, on_pair: Callable[[ImagePair], None]
    ) -> None:
        self._pairing, self.reason = create_pairing(backend, queue_size, tolerance_ns, self._matched)
        self._on_pair = on_pair
        self._newest_ns: list[int | None] = [None, None]
        self.received = [0, 0]
        self.matched = 0
        self.time_jumps = 0
        self.last_offset_ns: int | None = None

    @property
    def backend(self) -> str:
        """``message_filters`` or ``builtin``."""
        return self._pairing.name

    @property
    def waiting(self) -> list[int]:
        """Messages that still wait for a partner, per side."""
        return [len(queue) for queue in self._pairing.queues]

    @property
    def unmatched(self) -> list[int]:
        """Messages that were let go without a partner, per side."""
        waiting = self.waiting
        return [self.received[index] - self.matched - waiting[index] for index in range(len(SIDES))]

    def add(self, side: str, message: TimedMessage) -> None:
        """Take a message of ``left`` or ``right``; one whose stamp is 0 counts as unmatched."""
        index = SIDES.index(side)
        stamp_ns = message.stamp_ns
        self.received[index] += 1
        if stamp_ns == 0:
            self.last_offset_ns = None
            return  # unstamped: any partner would be a guess
        newest_ns = self._newest_ns[index]
        if newest_ns is not None and stamp_ns < newest_ns - JUMP_BACK_NS:
            self._forget_after(stamp_ns)
            self._newest_ns[index] = newest_ns = None
        self._newest_ns[index] = stamp_ns if newest_ns is None else max(stamp_ns, newest_ns)
        other_ns = self._newest_ns[1 - index]
        if other_ns is not None:
            self.last_offset_ns = (stamp_ns - other_ns) * (1 if index == 0 else -1)
        self._pairing.add(index, message)

    def clear(self) -> None:
        """Let everything go that waits."""
        for queue in self._pairing.queues:
            queue.clear()
        self._newest_ns = [None, None]

    def _forget_after(self, stamp_ns: int) -> None:
        """Drop what waits from before the clock jumped back to `stamp_ns`."""
        self.time_jumps += 1
        for queue in self._pairing.queues:
            for late_ns in [queued_ns for queued_ns in queue if queued_ns > stamp_ns + JUMP_BACK_NS]:
                del queue[late_ns]

    def _matched(self, left: TimedMessage, right: TimedMessage) -> None:
        self.matched += 1
        self.last_offset_ns = left.stamp_ns - right.stamp_ns
        self._on_pair(ImagePair(left, right))
