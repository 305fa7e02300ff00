"""Playing pairs over DDS and recording what comes back: the only module here that needs rclpy.

Both run in processes of their own, so that neither the other nor the node can hold their clocks back. Messages stay
serialized from bag to DDS to bag. All times are of the steady clock, which processes of one machine share.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from stereo_msgs.msg import DisparityImage

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble keeps them in a module of another name
    from rclpy.qos_event import SubscriptionEventCallbacks

from stereo_dp_ros.core.errors import DataError, StereoDpError
from stereo_dp_ros.core.stamp_pairing import StampPairing
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import (
    CAMERA_INFO,
    CLOUD,
    COMPRESSED_IMAGE,
    DIAGNOSTICS,
    DISPARITY,
    IMAGE,
    raw_stamp_ns,
    typestore,
)
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["play", "publish_all", "record"]

_START_DELAY_S = 0.3
_WARM_UP_S = 10.0
_POLL_S = 0.1
_TELLING_NS = 100_000_000
_DEPTH = 30
_NO_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)  # those cost the executor time with each message
_CLASSES: dict[str, type] = {
    IMAGE: Image,
    COMPRESSED_IMAGE: CompressedImage,
    CAMERA_INFO: CameraInfo,
    CLOUD: PointCloud2,
    DISPARITY: DisparityImage,
    DIAGNOSTICS: DiagnosticArray,
}


def play(pipe: Connection, source: Path | LoopedPairs, topics: StereoTopics, rate: float, domain_id: int) -> None:
    """Play a pair's topics at `rate` times their own speed; the process ends when the parent says so or goes away.

    `source` is the path of a bag, or pairs that are published again and again.

    Sends ``("ready", None)`` when every topic has a subscriber, ``("published", (stamp_ns, published_ns))`` after each
    pair (the left image's stamp, and the time just before the later image was handed to DDS), ``("images", (left,
    right))`` with their numbers after the last, whatever ended it, and ``("done", None)``. Waits for ``"start"`` in
    between, for ``"stop"`` at the end. After the first pair the clock stands still until the parent says anything, for
    10 s at most: the node compiles its network.
    """

    def work() -> None:
        opened = BagReader(source) if isinstance(source, Path) else source
        with opened as bag, _ros_node("player", domain_id) as node:
            publishers = {
                topic: node.create_publisher(_CLASSES[bag.topics[topic]], topic, _profile()) for topic in topics.inputs
            }
            if not _wait_for(pipe, lambda: all(p.get_subscription_count() for p in publishers.values())):
                return
            pipe.send(("ready", None))
            if pipe.recv() == "start":
                publish_all(pipe, bag, topics, publishers, rate)
                pipe.send(("done", None))
                while pipe.recv() != "stop":
                    pass

    _report_errors(pipe, work)


def record(pipe: Connection, bag_path: Path | None, outputs: Mapping[str, str], domain_id: int) -> None:
    """Record topics → types into a bag until the parent says stop or goes away; the bag is closed in any case.

    Without a bag messages are received and let go. Sends ``("ready", None)`` when every topic has a publisher,
    ``("received", [(type, stamp_ns, received_ns), ...])`` of the messages of outputs, ``("diagnostics", {key: value})``
    for each status whose name ends in ``: stereo`` and ``("done", {topic: messages})`` at the end.
    """

    def work() -> None:
        sys.setswitchinterval(0.0005)  # the thread that writes must not hold back the one that takes the time
        counts = dict.fromkeys(outputs, 0)
        arrivals = _Arrivals(pipe)
        with _open_storage(bag_path) as store, _ros_node("recorder", domain_id) as node:
            executor = SingleThreadedExecutor()
            executor.add_node(node)

            def subscribe(topic: str, msgtype: str) -> None:
                def on_message(data: bytes) -> None:
                    received_ns = time.monotonic_ns()
                    counts[topic] += 1
                    store(topic, msgtype, data)
                    if msgtype == DIAGNOSTICS:
                        arrivals.send()
                        _send_diagnostics(pipe, data)
                    else:
                        arrivals.add(msgtype, raw_stamp_ns(data), received_ns)

                node.create_subscription(
                    _CLASSES[msgtype], topic, on_message, _profile(), event_callbacks=_NO_EVENTS, raw=True
                )

            for topic, msgtype in outputs.items():
                subscribe(topic, msgtype)
            while not pipe.poll() and not all(node.count_publishers(topic) for topic in outputs):
                executor.spin_once(timeout_sec=_POLL_S)
            pipe.send(("ready", None))
            _spin_until_told(pipe, executor)
            executor.shutdown()
        arrivals.send()
        pipe.send(("done", counts))

    _report_errors(pipe, work)


def _spin_until_told(pipe: Connection, executor: SingleThreadedExecutor) -> None:
    """Spin until the parent says anything, or is gone."""
    told = threading.Event()

    def wait_for_word() -> None:
        pipe.poll(None)
        told.set()
        executor.create_task(lambda: None)  # ends the waiting below

    waiting = threading.Thread(target=wait_for_word, name="parent", daemon=True)
    waiting.start()
    while not told.is_set():
        executor.spin_once()  # a timeout would cost a timer for each message
    waiting.join()


def publish_all(
    pipe: Connection,
    bag: BagReader | LoopedPairs,
    topics: StereoTopics,
    publishers: Mapping[str, Any],
    rate: float,
) -> None:
    """Publish everything when it is due, and tell of each pair as `play` does; ends early when the parent says stop.

    `publishers` are of rclpy, by topic.
    """
    pairing: StampPairing[int] = StampPairing(tolerance_ns=topics.sync_tolerance_ns)
    begin_ns = time.monotonic_ns() + int(_START_DELAY_S * 1e9)
    counts = dict.fromkeys(topics.images, 0)
    first_ns: int | None = None
    is_warm = False
    try:
        for topic, time_ns, data in bag.raw(topics.inputs):
            first_ns = time_ns if first_ns is None else first_ns
            due_ns = begin_ns + int((time_ns - first_ns) / rate)
            if _is_stopped_before(pipe, due_ns):
                break
            try:
                stamp, at_ns = raw_stamp_ns(data), time.monotonic_ns()
            except DataError as error:
                raise DataError(f"{topic} at {time_ns}: {error}") from error
            publishers[topic].publish(data)
            if topic in topics.images:
                counts[topic] += 1
                pair = pairing.add(topics.images.index(topic), stamp, stamp)
                if pair is not None:
                    pipe.send(("published", (pair[0], at_ns)))
                    if not is_warm:
                        begin_ns += _wait_for_word(pipe, _WARM_UP_S)
                        is_warm = True
    finally:
        pipe.send(("images", tuple(counts.values())))


def _is_stopped_before(pipe: Connection, due_ns: int) -> bool:
    """Wait until the steady clock shows `due_ns`, or the parent says stop; EOFError where it is gone."""
    while pipe.poll(max(0, due_ns - time.monotonic_ns()) * 1e-9):
        if pipe.recv() == "stop":
            return True
    return False


def _wait_for_word(pipe: Connection, timeout_s: float) -> int:
    """Wait until the parent has said something, which is not read; returns how long that took, in ns."""
    begin_ns = time.monotonic_ns()
    pipe.poll(timeout_s)
    return time.monotonic_ns() - begin_ns


class _Arrivals:
    """Tells the parent of received messages, ten times a second at most: each telling takes time from the node."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._untold: list[tuple[str, int, int]] = []
        self._told_ns = 0

    def add(self, msgtype: str, stamp_ns: int, received_ns: int) -> None:
        self._untold.append((msgtype, stamp_ns, received_ns))
        if received_ns - self._told_ns > _TELLING_NS:
            self.send()
            self._told_ns = received_ns

    def send(self) -> None:
        """Tell what is untold, if anything."""
        if self._untold:
            self._pipe.send(("received", self._untold))
            self._untold = []


class _Storage:
    """Writes messages to a bag in a thread, so that the disk does not delay receiving."""

    def __init__(self, bag: BagWriter) -> None:
        self._bag = bag
        self._queue: queue.SimpleQueue[tuple[str, str, bytes, int] | None] = queue.SimpleQueue()
        self._error: StereoDpError | None = None
        self._thread = threading.Thread(target=self._run, name="bag writer")

    def put(self, topic: str, msgtype: str, data: bytes) -> None:
        """Have a message written with the time of now; raises what writing an earlier one raised."""
        if self._error is not None:
            raise self._error
        self._queue.put((topic, msgtype, data, time.time_ns()))

    def __enter__(self) -> _Storage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            topic, msgtype, data, time_ns = item
            try:
                self._bag.write_raw(topic, msgtype, data, time_ns)
            except StereoDpError as error:
                self._error = error
                return


@contextmanager
def _open_storage(bag_path: Path | None) -> Iterator[Callable[[str, str, bytes], None]]:
    """What takes a topic's messages: a bag, or nothing."""
    if bag_path is None:
        yield lambda _topic, _msgtype, _data: None
        return
    with BagWriter(bag_path, overwrite=True) as bag, _Storage(bag) as storage:
        yield storage.put


def _send_diagnostics(pipe: Connection, data: bytes) -> None:
    message: Any = typestore().deserialize_cdr(data, DIAGNOSTICS)
    for status in message.status:
        if status.name.endswith(": stereo"):
            values = {item.key: item.value for item in status.values}
            pipe.send(("diagnostics", {**values, "level": int(status.level), "message": status.message}))


def _report_errors(pipe: Connection, work: Callable[[], None]) -> None:
    """Run a child's work; errors go to the parent, whose going away ends the child quietly."""
    try:
        work()
    except (EOFError, BrokenPipeError):
        return
    except StereoDpError as error:
        pipe.send(("error", str(error)))
    except Exception as error:  # rclpy and rcl errors share no base
        pipe.send(("error", f"{type(error).__name__}: {' '.join(str(error).split())}"))


@contextmanager
def _ros_node(name: str, domain_id: int) -> Iterator[Node]:
    rclpy.init(domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield Node(f"stereo_dp_{name}", enable_rosout=False, start_parameter_services=False)
    finally:
        rclpy.shutdown()


def _wait_for(pipe: Connection, condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds (True) or the parent says anything (False)."""
    while not condition():
        if pipe.poll(_POLL_S):
            return False
    return True


def _profile() -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )
