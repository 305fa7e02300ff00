"""The request to the C library to keep freed memory."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from stereo_dp_ros.core import memory

FAULTS = """
import resource, threading
import numpy as np
{request}
def touch():
    for _ in range(20):
        [np.ones(500_000) for _ in range(40)]  # 4 MB each
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=touch)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(request: str) -> int:
    result = subprocess.run(
        [sys.executable, "-c", FAULTS.format(request=request)], capture_output=True, text=True, check=True
    )
    return int(result.stdout)


def test_image_sized_memory_is_not_fetched_anew() -> None:
    """Forty blocks of 4 MB, twenty times, touch the pages of the first forty, in a thread too."""
    pages = 40 * 4_000_000 // resource.getpagesize()
    asked = page_faults("from stereo_dp_ros.core.memory import keep_freed_memory\nassert keep_freed_memory()")
    assert asked < 2 * pages < page_faults("")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    assert memory.keep_freed_memory() is False
