"""A thread that does one job whenever it is asked for."""

from __future__ import annotations

import threading

from index.local.ondemand import OnDemand

PATIENCE = 30


def test_the_job_is_done_once_for_all_requests_that_come_meanwhile() -> None:
    begun, go = threading.Semaphore(0), threading.Semaphore(0)
    done = []

    def job() -> None:
        begun.release()
        assert go.acquire(timeout=PATIENCE)
        done.append(1)

    thread = OnDemand("a-test", job)
    thread.wait()  # nothing to do
    thread.ask()
    assert begun.acquire(timeout=PATIENCE)
    for _ in range(3):
        thread.ask()
    go.release(2)
    thread.wait()
    assert len(done) == 2
    thread.close()


def test_closing_ends_what_is_under_way_and_drops_the_rest() -> None:
    begun = threading.Event()
    done: list[int] = []

    def job() -> None:
        begun.set()
        while not thread.closing:
            pass
        done.append(1)

    thread = OnDemand("a-test", job)
    thread.ask()
    assert begun.wait(PATIENCE)
    thread.ask()
    thread.close()
    thread.ask()
    thread.close()
    thread.wait()
    assert done == [1]
