"""The second thread: it keeps off its caller's core, and is an executor otherwise."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stereo_dp_ros.core.second_thread import SecondThread


def _cores() -> set[int]:
    return os.sched_getaffinity(os.getpid()) if hasattr(os, "sched_getaffinity") else set()


@pytest.mark.skipif(len(_cores()) < 2, reason="one core, or a system that does not tell")
def test_it_has_every_core_but_its_callers():
    def ask(core: int) -> set[int]:
        os.sched_setaffinity(0, {core})  # of this thread alone
        return second.submit(os.sched_getaffinity, 0).result()

    with SecondThread("second") as second, ThreadPoolExecutor(1) as caller:
        for core in sorted(_cores()) * 2:
            assert caller.submit(ask, core).result() == _cores() - {core}


@pytest.mark.skipif(len(_cores()) < 2, reason="one core, or a system that does not tell")
def test_a_process_of_one_core_keeps_it():
    allowed = _cores()
    core = min(allowed)
    with SecondThread("second") as second:
        os.sched_setaffinity(os.getpid(), {core})
        try:
            used = second.submit(os.sched_getaffinity, 0).result()
        finally:
            os.sched_setaffinity(os.getpid(), allowed)
        assert core in used
        assert second.submit(os.sched_getaffinity, 0).result() < allowed  # and keeps off again once there are more


def test_what_is_asked_of_it_is_done_in_its_thread():
    with SecondThread("second") as second:
        threads = {second.submit(threading.get_ident).result() for _ in range(3)}
        assert len(threads) == 1
        assert threads != {threading.get_ident()}
        assert second.submit(pow, 3, exp=4).result() == 81
        with pytest.raises(ZeroDivisionError):
            second.submit(divmod, 1, 0).result()


def test_its_thread_ends_with_it():
    def alive() -> bool:
        return any(thread.name.startswith("ends with it") for thread in threading.enumerate())

    second = SecondThread("ends with it")
    assert not alive(), "nothing was asked of it"
    assert second.submit(pow, 2, 3).result() == 8
    assert alive()
    del second
    gc.collect()
    deadline_s = time.monotonic() + 10
    while alive() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not alive()
