"""Pairing of left and right messages by stamp, as message_filters does it, for anything that has a stamp."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["QUEUE_SIZE", "StampPairing", "StampQueues"]

QUEUE_SIZE = 10
_JUMP_BACK_NS = 500_000_000  # a stamp this far behind the newest is a restarted clock, not a late message

Item = TypeVar("Item")


class StampQueues(Generic[Item]):
    """Takes items of two sides as they come and gives the pair that one completes, whatever becomes of the clock.

    Equal stamps pair as in message_filters' TimeSynchronizer, near ones as in its ApproximateTimeSynchronizer: nearest
    first, difference strictly below the tolerance, the smallest stamp evicted.

    Parameters
    ----------
    queue_size : items kept per side
    tolerance_ns : stamps may differ by less than this; None pairs equal stamps only
    """

    def __init__(self, queue_size: int = QUEUE_SIZE, tolerance_ns: int | None = None) -> None:
        self.queues: list[dict[int, Item]] = [{}, {}]
        self._queue_size, self._tolerance_ns = queue_size, tolerance_ns

    def add(self, side: int, stamp_ns: int, item: Item) -> tuple[Item, Item] | None:
        """Take an item of side 0 (left) or 1 (right); left and right of the pair that it completes, or None."""
        own, other = self.queues[side], self.queues[1 - side]
        own[stamp_ns] = item
        while len(own) > self._queue_size:
            del own[min(own)]
        partner_ns = self._partner_of(stamp_ns, other)
        if partner_ns is None or stamp_ns not in own:
            return None
        mine, theirs = own.pop(stamp_ns), other.pop(partner_ns)
        return (mine, theirs) if side == 0 else (theirs, mine)

    def _partner_of(self, stamp_ns: int, other: dict[int, Item]) -> int | None:
        if self._tolerance_ns is None:
            return stamp_ns if stamp_ns in other else None
        nearest_ns = min(other, key=lambda candidate_ns: abs(candidate_ns - stamp_ns), default=None)
        if nearest_ns is None or abs(nearest_ns - stamp_ns) >= self._tolerance_ns:
            return None
        return nearest_ns


class StampPairing(StampQueues[Item]):
    """Pairs as `StampQueues`, and forgets when stamps jump back (a bag loops, a clock restarts).

    What waits from after the jump is let go then, for it would evict everything that comes.
    """

    def __init__(self, queue_size: int = QUEUE_SIZE, tolerance_ns: int | None = None) -> None:
        super().__init__(queue_size, tolerance_ns)
        self._newest_ns: list[int | None] = [None, None]

    def add(self, side: int, stamp_ns: int, item: Item) -> tuple[Item, Item] | None:
        """As `StampQueues.add`; a stamp of 0 is none, and pairs with nothing."""
        if stamp_ns == 0:
            return None
        self._note_time(side, stamp_ns)
        return super().add(side, stamp_ns, item)

    def _note_time(self, side: int, stamp_ns: int) -> None:
        newest_ns = self._newest_ns[side]
        if newest_ns is not None and stamp_ns < newest_ns - _JUMP_BACK_NS:
            for queue in self.queues:
                for late_ns in [queued_ns for queued_ns in queue if queued_ns > stamp_ns + _JUMP_BACK_NS]:
                    del queue[late_ns]
            newest_ns = None
        self._newest_ns[side] = stamp_ns if newest_ns is None else max(stamp_ns, newest_ns)
