"""The batcher: who waits for whom, who is dropped, and what a failure costs whom."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.preprocessing import Pixels
from service.inference.batcher import Batcher
from service.inference.forward import EmbeddingError, ForwardPass
from service.inference.request import Embedded, Expired, Group, Overloaded, WorkerStoppedError
from tests.service.fakes import SHAPE, Embeddings

LONG = 3600.0
PATIENCE = 20.0
POISON, LOSS, SICK, HELD = 251.0, 252.0, 253.0, 254.0
"""First pixels of images that the embedder fails on, loses its device by, has no finite answer for; and of
the one by which a test holds the worker."""


def image(value: float) -> Pixels:
    return np.full(SHAPE, value, dtype=np.uint8)


class Recorder:
    """Answers each image's first pixel; fails on poison; can be held."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.open.set()

    def __call__(self, images: Pixels) -> Embeddings:
        values = images[:, 0, 0, 0].astype(np.float32)
        self.batches.append(values.tolist())
        self.entered.set()
        assert self.open.wait(PATIENCE)
        if POISON in values:
            raise RuntimeError("poison")
        values[values == SICK] = np.nan
        return Embeddings(values[:, np.newaxis], None)

    def hold(self) -> None:
        self.entered.clear()
        self.open.clear()


@contextmanager
def started(embed: Any, *, max_batch: int = 4, **options: Any) -> Iterator[Batcher]:
    batcher = Batcher(ForwardPass(embed, SHAPE, max_batch), max_batch=max_batch, **options)
    batcher.start()
    if isinstance(embed, Recorder):
        embed.batches.clear()
    try:
        yield batcher
    finally:
        if isinstance(embed, Recorder):
            embed.open.set()
        batcher.close(PATIENCE)


def soon() -> float:
    return time.monotonic() + LONG


def submit(batcher: Batcher, value: float, deadline: float | None = None) -> Group:
    return batcher.place(deadline if deadline is not None else soon()).submit([image(value)])


def answer_of(group: Group, patience: float = PATIENCE) -> Embedded:
    """The answer to the only image of a group."""
    [outcome] = group.future.result(patience)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def value_of(group: Group) -> float:
    return float(answer_of(group).features.descriptor[0])


def hold_worker(batcher: Batcher, embed: Recorder) -> Group:
    """Keep the worker busy with one image, so that what follows is waiting."""
    embed.hold()
    future = submit(batcher, HELD)
    assert embed.entered.wait(PATIENCE)
    return future


class Gate:
    """Answers each image's first pixel; every batch waits in it until it is let out."""

    def __init__(self) -> None:
        self.entered: queue.SimpleQueue[tuple[list[float], threading.Event]] = queue.SimpleQueue()
        self.open = False

    def __call__(self, images: Pixels) -> Embeddings:
        values = images[:, 0, 0, 0].astype(np.float32)
        if self.open:
            leave = threading.Event()
            self.entered.put((values.tolist(), leave))
            assert leave.wait(PATIENCE)
        return Embeddings(values[:, np.newaxis], None)


@contextmanager
def gated(**options: Any) -> Iterator[tuple[Batcher, Gate]]:
    """A batcher with two streams, in front of a gate that is shut once it is warm."""
    gate = Gate()
    with started(gate, streams=2, **options) as batcher:
        gate.open = True
        yield batcher, gate


def test_two_streams_have_a_full_batch_each_at_the_same_time() -> None:
    with gated(max_batch=2, max_wait_s=LONG) as (batcher, gate):
        groups = [batcher.place(soon(), 2).submit([image(value), image(value + 1)]) for value in (1, 3)]
        inside = [gate.entered.get(timeout=PATIENCE) for _ in groups]
        assert sorted(values for values, _ in inside) == [[1, 2], [3, 4]]
        for _, leave in inside:
            leave.set()
        answers = [group.future.result(PATIENCE) for group in groups]
        assert [len(outcomes) for outcomes in answers] == [2, 2]


def test_what_is_not_full_goes_on_filling_while_another_batch_is_under_way() -> None:
    with gated(max_batch=3, max_wait_s=0.0) as (batcher, gate):
        first = submit(batcher, 1)
        values, leave = gate.entered.get(timeout=PATIENCE)
        assert values == [1]
        second, third = submit(batcher, 2), submit(batcher, 3)
        fourth = submit(batcher, 4)
        # Full now, and the first is still there.
        values, other = gate.entered.get(timeout=PATIENCE)
        assert values == [2, 3, 4]
        fifth = submit(batcher, 5)
        leave.set()
        other.set()
        # Not full: it goes when nothing is under way any more.
        values, last = gate.entered.get(timeout=PATIENCE)
        assert values == [5]
        last.set()
        assert [value_of(group) for group in (first, second, third, fourth, fifth)] == [1, 2, 3, 4, 5]


def test_whoever_is_in_either_stream_is_answered_when_the_device_is_lost() -> None:
    lost: list[str] = []
    with gated(max_batch=1, on_lost=lost.append) as (batcher, gate):
        groups = [submit(batcher, value) for value in (1, 2)]
        inside = [gate.entered.get(timeout=PATIENCE) for _ in groups]
        assert batcher.health().batch_age_s is not None
        batcher.give_up("the device is gone")
        for group in groups:
            with pytest.raises(WorkerStoppedError):
                answer_of(group)
        assert lost == ["the device is gone"]
        assert not batcher.health().alive
        for _, leave in inside:
            leave.set()


def test_closing_answers_what_both_streams_hold() -> None:
    with gated(max_batch=1) as (batcher, gate):
        groups = [submit(batcher, value) for value in (1, 2, 3)]
        inside = [gate.entered.get(timeout=PATIENCE) for _ in range(2)]
        closing = threading.Thread(target=batcher.close, args=(PATIENCE,))
        closing.start()
        gate.open = False
        for _, leave in inside:
            leave.set()
        assert [value_of(group) for group in groups] == [1, 2, 3]
        closing.join(PATIENCE)
        assert not closing.is_alive()


def test_a_lone_image_does_not_wait_for_company() -> None:
    with started(Recorder(), max_wait_s=LONG) as batcher:
        assert value_of(submit(batcher, 7)) == 7


def test_a_batch_waits_for_an_image_that_is_on_the_way() -> None:
    embed = Recorder()
    with started(embed, max_wait_s=LONG) as batcher, batcher.place(soon()) as coming:
        first = submit(batcher, 1)
        second = coming.submit([image(2)])
        assert [value_of(first), value_of(second)] == [1, 2]
    assert embed.batches == [[1, 2]]


def test_a_batch_goes_when_the_image_on_the_way_does_not_come() -> None:
    with started(Recorder(), max_wait_s=LONG) as batcher:
        with batcher.place(soon()):
            first = submit(batcher, 1)
        assert value_of(first) == 1


def test_a_batch_goes_when_its_wait_is_over() -> None:
    with started(Recorder(), max_wait_s=0) as batcher, batcher.place(soon()):
        assert value_of(submit(batcher, 1)) == 1


def test_a_full_batch_goes_at_once_and_the_rest_follows() -> None:
    embed = Recorder()
    with started(embed, max_wait_s=LONG) as batcher:
        held = hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in range(5)]
        with batcher.place(soon()) as late:
            embed.open.set()
            assert [value_of(future) for future in waiting[:4]] == [0, 1, 2, 3]
            last = late.submit([image(5)])
            assert [value_of(waiting[4]), value_of(last), value_of(held)] == [4, 5, HELD]
    assert embed.batches == [[HELD], [0, 1, 2, 3], [4, 5]]


def test_batches_are_padded_to_a_bucket_and_answers_are_not() -> None:
    embed = Recorder()
    seen: list[int] = []
    with started(embed, on_batch=lambda images, _seconds: seen.append(images)) as batcher:
        hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in (1, 2, 3)]
        embed.open.set()
        assert [value_of(future) for future in waiting] == [1, 2, 3]
    assert embed.batches[1] == [1, 2, 3, 0]
    assert seen == [1, 3]


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(st.integers(0, 250), min_size=1, max_size=40),
    max_batch=st.integers(1, 9),
    threads=st.integers(1, 8),
)
def test_everyone_gets_the_answer_to_his_own_image(values: list[int], max_batch: int, threads: int) -> None:
    with started(Recorder(), max_batch=max_batch) as batcher, ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(lambda value: value_of(submit(batcher, value)), values)) == values


def test_a_poisonous_image_harms_only_itself() -> None:
    embed = Recorder()
    with started(embed) as batcher:
        hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in (1, POISON, 3)]
        embed.open.set()
        assert value_of(waiting[0]) == 1
        with pytest.raises(EmbeddingError, match="poison"):
            answer_of(waiting[1])
        assert value_of(waiting[2]) == 3
        assert batcher.health().alive


def test_an_answer_that_is_not_finite_harms_only_its_image() -> None:
    embed = Recorder()
    with started(embed) as batcher:
        hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in (1, SICK)]
        embed.open.set()
        assert value_of(waiting[0]) == 1
        with pytest.raises(EmbeddingError, match="not finite"):
            answer_of(waiting[1])


def test_health_tells_of_the_newest_pass() -> None:
    with started(Recorder()) as batcher:
        assert not batcher.health().last_failed
        with pytest.raises(EmbeddingError):
            answer_of(submit(batcher, POISON))
        assert batcher.health().last_failed
        value_of(submit(batcher, 1))
        health = batcher.health()
        assert health.alive
        assert not health.last_failed
        assert health.success_age_s is not None


def test_a_full_queue_refuses_at_once_and_a_place_given_back_is_free() -> None:
    embed = Recorder()
    with started(embed, max_queue=2) as batcher:
        hold_worker(batcher, embed)
        waiting = submit(batcher, 1)
        with batcher.place(soon()):
            assert batcher.depth == 2
            with pytest.raises(Overloaded, match="all 2 places"):
                batcher.place(soon())
        with batcher.place(soon()) as free:
            last = free.submit([image(2)])
            embed.open.set()
            assert [value_of(waiting), value_of(last)] == [1, 2]


def test_who_goes_away_frees_the_place_and_is_not_computed() -> None:
    embed = Recorder()
    with started(embed, max_queue=1) as batcher:
        hold_worker(batcher, embed)
        with batcher.place(soon()) as leaving:
            left = leaving.submit([image(1)])
        assert left.future.cancelled()
        stays = submit(batcher, 2)
        embed.open.set()
        assert value_of(stays) == 2
    assert embed.batches == [[HELD], [2]]


def test_who_is_past_the_deadline_is_not_computed() -> None:
    embed = Recorder()
    with started(embed) as batcher:
        hold_worker(batcher, embed)
        late, in_time = submit(batcher, 1, deadline=time.monotonic()), submit(batcher, 2)
        embed.open.set()
        with pytest.raises(Expired):
            answer_of(late)
        assert value_of(in_time) == 2
    assert embed.batches == [[HELD], [2]]


def test_the_death_of_the_worker_fails_everyone_and_is_seen() -> None:
    embed = Recorder()

    def mortal(images: Pixels) -> Embeddings:
        answer = embed(images)
        if answer.descriptors[0, 0] == HELD:
            raise SystemExit("killed")
        return answer

    with started(mortal) as batcher:
        running = hold_worker(batcher, embed)
        waiting = submit(batcher, 1)
        with batcher.place(soon()) as coming:
            embed.open.set()
            for future in (running, waiting):
                with pytest.raises(WorkerStoppedError):
                    answer_of(future)
            with pytest.raises(WorkerStoppedError):
                coming.submit([image(2)])
        assert not batcher.health().alive
        with pytest.raises(WorkerStoppedError):
            batcher.place(soon())


def test_a_lost_device_fails_everyone_at_once_and_is_reported_once() -> None:
    embed = Recorder()
    reasons: list[str] = []

    def losing(images: Pixels) -> Embeddings:
        answer = embed(images)
        if LOSS in images:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        return answer

    with started(losing, on_lost=reasons.append) as batcher:
        held = hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in (1, LOSS, 2, 3, 4, 5)]
        embed.open.set()
        assert value_of(held) == HELD
        for future in waiting:
            with pytest.raises(WorkerStoppedError):
                answer_of(future)
        with pytest.raises(WorkerStoppedError):
            batcher.place(soon())
    # Nothing is tried again on a device that is lost.
    assert embed.batches[-2:] == [[HELD], [1, LOSS, 2, 3]]
    [reason] = reasons
    assert "illegal memory access" in reason


def test_a_batch_that_does_not_come_back_can_be_given_up() -> None:
    embed = Recorder()
    reasons: list[str] = []
    with started(embed, on_lost=reasons.append) as batcher:
        futures = [hold_worker(batcher, embed), submit(batcher, 1)]
        for _ in range(2):
            batcher.give_up("it stands still")
        for future in futures:
            with pytest.raises(WorkerStoppedError):
                answer_of(future, 0)
        assert reasons == ["it stands still"]
        assert not batcher.health().alive
        # Closing does not wait for it either.
        batcher.close(timeout_s=LONG)


def test_closing_is_no_loss() -> None:
    reasons: list[str] = []
    with started(Recorder(), on_lost=reasons.append) as batcher:
        value_of(submit(batcher, 1))
    assert reasons == []


def test_start_runs_every_batch_size_once() -> None:
    embed = Recorder()
    batcher = Batcher(ForwardPass(embed, SHAPE, 6), max_batch=6)
    batcher.start()
    batcher.close()
    assert [len(batch) for batch in embed.batches] == [1, 2, 4, 6]


def test_start_fails_where_the_embedder_does() -> None:
    def broken(_images: Pixels) -> Embeddings:
        raise RuntimeError("no device")

    batcher = Batcher(ForwardPass(broken, SHAPE, 4), max_batch=4)
    with pytest.raises(EmbeddingError, match="no device"):
        batcher.start()
    assert not batcher.health().alive
    batcher.close()


def test_close_answers_those_who_wait_and_lets_no_one_in() -> None:
    embed = Recorder()
    with started(embed, max_wait_s=LONG) as batcher, ThreadPoolExecutor(1) as pool, ExitStack() as places:
        held = hold_worker(batcher, embed)
        waiting = [submit(batcher, value) for value in range(6)]
        coming = places.enter_context(batcher.place(soon()))
        closing = pool.submit(batcher.close, PATIENCE)
        while not batcher._closing:
            time.sleep(0)
        with pytest.raises(WorkerStoppedError):
            batcher.place(soon())
        embed.open.set()
        last = coming.submit([image(9)])
        closing.result(PATIENCE)
        assert [value_of(future) for future in [held, *waiting, last]] == [HELD, 0, 1, 2, 3, 4, 5, 9]


def test_close_fails_those_whom_the_embedder_does_not_answer_in_time() -> None:
    embed = Recorder()
    with started(embed) as batcher:
        futures = [hold_worker(batcher, embed), submit(batcher, 1)]
        batcher.close(timeout_s=0)
        for future in futures:
            with pytest.raises(WorkerStoppedError):
                answer_of(future, 0)


def test_a_place_takes_one_image_of_the_right_shape() -> None:
    with started(Recorder(), max_queue=1) as batcher:
        with batcher.place(soon()) as place, pytest.raises(ValueError, match="shape"):
            place.submit([np.zeros((1, 2, 3), dtype=np.uint8)])
        with batcher.place(soon()) as place:
            value_of(place.submit([image(1)]))
            with pytest.raises(ValueError, match="a place for 1 images takes so many, once"):
                place.submit([image(1)])
        assert batcher.depth == 0


def test_images_that_are_handed_in_together_are_answered_together_each_for_itself() -> None:
    embed = Recorder()
    with started(embed, max_queue=6) as batcher:
        hold_worker(batcher, embed)
        with batcher.place(soon(), 6) as place:
            assert batcher.depth == 6
            with pytest.raises(Overloaded, match="all 6 places"):
                batcher.place(soon())
            group = place.submit([image(value) for value in (1, 2, POISON, 4, 5)])
            assert batcher.depth == 5
            embed.open.set()
            outcomes = group.future.result(PATIENCE)
        assert batcher.depth == 0
    values = [float(one.features.descriptor[0]) if isinstance(one, Embedded) else one for one in outcomes]
    assert [values[0], values[1], values[3], values[4]] == [1, 2, 4, 5]
    assert isinstance(values[2], EmbeddingError)


def test_what_is_known_of_a_group_is_there_before_all_of_it_is() -> None:
    embed = Recorder()
    with started(embed, max_batch=2) as batcher, batcher.place(soon(), 3) as place:
        embed.hold()
        group = place.submit([image(value) for value in (1, 2, 3)])
        assert embed.entered.wait(PATIENCE)
        assert [type(one) for one in group.so_far()] == [Expired] * 3
        embed.entered.clear()
        embed.open.set()
        assert embed.entered.wait(PATIENCE)
        embed.hold()
        assert [type(one) for one in group.future.result(PATIENCE)] == [Embedded] * 3


def test_a_group_that_is_given_up_is_not_computed() -> None:
    embed = Recorder()
    with started(embed) as batcher:
        hold_worker(batcher, embed)
        with batcher.place(soon(), 3) as leaving:
            leaving.submit([image(value) for value in (1, 2, 3)])
        assert batcher.depth == 0
        embed.open.set()
        assert value_of(submit(batcher, 4)) == 4
    assert embed.batches == [[HELD], [4]]
