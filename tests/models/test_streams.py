"""Several ways through a network: each in its thread, alike alone and together, or left out."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.preprocessing import Pixels
from models.runtimes import streams
from models.runtimes.forward import Answer, Forward
from models.runtimes.streams import (
    Stream,
    Streams,
    open_streams,
    trial_batches,
    why_not_alike,
)

PATIENCE = 60.0
BATCHES = trial_batches((1, 2), 4, 4)


def embed(images: Pixels) -> Answer:
    return images.reshape(len(images), -1).astype(np.float32), None


def turned(images: Pixels) -> Answer:
    return embed(images)[0][:, ::-1], None


def test_calls_run_in_the_stream_s_thread_and_errors_come_back() -> None:
    stream = Stream()
    threads = {stream.run(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads

    def fails() -> None:
        raise MemoryError("out of memory")

    with pytest.raises(MemoryError, match="out of memory"):
        stream.run(fails)
    assert stream.run(lambda: 5) == 5


def test_a_stream_s_thread_ends_with_it() -> None:
    stream = Stream()
    thread = stream.run(threading.current_thread)
    del stream
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_as_many_batches_as_streams_are_under_way_and_another_waits() -> None:
    inside, lock, entered, leave = [0, 0], threading.Lock(), threading.Semaphore(0), threading.Semaphore(0)

    def meets(images: Pixels) -> Answer:
        with lock:
            inside[0] += 1
            inside[1] = max(inside)
        entered.release()
        assert leave.acquire(timeout=PATIENCE)
        with lock:
            inside[0] -= 1
        return embed(images)

    both = Streams([(Stream(), meets), (Stream(), meets)])
    with ThreadPoolExecutor(3) as clients:
        asked = [clients.submit(both, BATCHES[0]) for _ in range(3)]
        # Two get in although none has left; the third after one has.
        assert all(entered.acquire(timeout=PATIENCE) for _ in range(2))
        leave.release()
        assert entered.acquire(timeout=PATIENCE)
        leave.release(2)
        for each in asked:
            np.testing.assert_array_equal(each.result(PATIENCE)[0], embed(BATCHES[0])[0])
    assert inside == [0, 2]


def test_one_that_answers_something_else_is_left_out_and_those_after_it() -> None:
    made: list[Forward] = [embed, turned, embed]
    opened = open_streams((Stream(), embed), lambda: made.pop(0), 4, BATCHES)
    assert opened.count == 2
    assert list(opened.left_out) == ["stream 3"]
    assert len(made) == 1
    np.testing.assert_array_equal(opened.forward(BATCHES[1])[0], embed(BATCHES[1])[0])


def test_those_that_disagree_together_leave_the_first_alone() -> None:
    tried = threading.local()
    calls: list[int] = []

    def second(images: Pixels) -> Answer:
        # Right for each size alone, wrong once more.
        tried.count = getattr(tried, "count", 0) + 1
        calls.append(tried.count)
        return turned(images) if tried.count > len(BATCHES) else embed(images)

    opened = open_streams((Stream(), embed), lambda: second, 2, BATCHES)
    assert calls == [1, 2, 3]
    assert opened.count == 1
    assert opened.left_out["stream 2"].startswith("together with the first, 2 images have descriptors with")


def test_those_that_hold_each_other_up_leave_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TOGETHER_S", 0.05)
    calls, never = [0], threading.Event()

    def second(images: Pixels) -> Answer:
        calls[0] += 1
        if calls[0] > len(BATCHES):
            never.wait(PATIENCE)
        return embed(images)

    opened = open_streams((Stream(), embed), lambda: second, 2, BATCHES)
    never.set()
    assert opened.count == 1
    assert opened.left_out == {"stream 2": "together with the first, a batch has not come back for 0.05 s"}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ((np.eye(2, 3), np.ones((2, 2))), None),
        ((7 * np.eye(2, 3), np.ones((2, 2))), None),
        (
            (np.eye(2, 3)[::-1], np.ones((2, 2))),
            "2 images have descriptors with a cosine of 0.0000, not 0.999",
        ),
        (
            (np.eye(2, 3), np.asarray([[1.0, 1.0], [1.0, 0.9]])),
            "2 images have strips with a cosine of 0.9986",
        ),
        ((np.full((2, 3), np.nan), np.ones((2, 2))), "2 images have descriptors with a cosine of nan"),
        ((np.zeros((2, 3)), np.ones((2, 2))), "2 images have descriptors with a cosine of nan"),
        ((np.eye(2, 4), np.ones((2, 2))), "descriptors of another shape"),
        ((np.eye(2, 3), None), "strips of another shape"),
    ],
)
def test_answers_are_alike_image_by_image(found: Answer, why: str | None) -> None:
    said = why_not_alike([(np.eye(2, 3), np.ones((2, 2)))], [found])
    assert said == why if why is None else said is not None and said.startswith(why)
