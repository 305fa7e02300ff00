"""A DDS domain for each run: two processes that take theirs here do not share one."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stereo_dp_ros.core.errors import DataError

__all__ = ["DOMAINS", "own_domain"]

DOMAINS = range(1, 102)  # from 102 on, ports of a domain overlap those that Linux hands out

_start = os.getpid() % len(DOMAINS)
_turn = itertools.cycle([*DOMAINS[_start:], *DOMAINS[:_start]])  # what one run left behind is not met by the next


@contextmanager
def own_domain() -> Iterator[int]:
    """A domain that no other process of this user has taken; it is free again at the process's end at the latest.

    Raises
    ------
    DataError
        Every domain is taken, or the folder for temporary files cannot be written.
    """
    folder = Path(tempfile.gettempdir()) / f"stereo_dp_ros-domains-{os.getuid()}"
    for _ in DOMAINS:
        domain = next(_turn)
        try:
            folder.mkdir(exist_ok=True)
            lock = (folder / str(domain)).open("w")
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}, expected a folder that can be written") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise DataError(f"every ROS domain from {DOMAINS[0]} to {DOMAINS[-1]} is taken, see {folder}")
