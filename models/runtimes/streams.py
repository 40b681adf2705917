"""Several batches on a GPU at the same time: while one computes, another is copied there or back.

Each has a thread of its own, in which it was made and in which alone it runs: ONNX Runtime keeps a CUDA graph
by the thread that recorded it, and torch the device that is chosen.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import LifoQueue, SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels
from models.runtimes.forward import Answer, Forward
from models.runtimes.trial import words_of

T = TypeVar("T")
F = TypeVar("F", bound=Forward)
GRAPHS = "CUDA graphs"
"""Their name among what is left out."""
SWITCHED_OFF = "LKA_REID_CUDA_GRAPHS is false"
TOGETHER_S = 60.0
"""s that a batch may take while every stream has one."""
AGREE = 0.999
"""Least cosine, image by image, of what two ways through a network answer to the same batch."""
_Calls = SimpleQueue[tuple[Callable[[], Any], "Future[Any]"] | None]


class Stream:
    """A thread for one way through a network; calls wait for each other.

    The thread never keeps a process from ending, whatever its device does.
    """

    def __init__(self) -> None:
        self._calls: _Calls = SimpleQueue()
        threading.Thread(target=_work, args=(self._calls,), name="gpu-stream", daemon=True).start()
        # The thread knows its calls alone, so that it ends with what makes them.
        weakref.finalize(self, self._calls.put, None)

    def run(self, call: Callable[[], T]) -> T:
        """What a call gives, or raises, in this thread."""
        future: Future[T] = Future()
        self._calls.put((call, future))
        return future.result()


def _work(calls: _Calls) -> None:
    while (given := calls.get()) is not None:
        call, future = given
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        # Not until the next one: what they hold may be memory on the device.
        del given, call, future


@dataclass(frozen=True)
class Opened:
    """Ways through a network that answer alike.

    Attributes:
        forward: all of them as one, for as many threads at the same time.
        count: of them.
        left_out: those that were wanted and are not there, each with the reason.
    """

    forward: Forward
    count: int
    left_out: Mapping[str, str]


class Streams:
    """Forward passes as one, which takes as many batches at the same time; a batch more waits.

    Args:
        passes: each with the thread that it runs in.
    """

    def __init__(self, passes: Sequence[tuple[Stream, Forward]]) -> None:
        # The last one that was used comes first: where one is enough, the same memory is used.
        self._idle: LifoQueue[tuple[Stream, Forward]] = LifoQueue()
        for each in reversed(passes):
            self._idle.put(each)

    def __call__(self, images: Pixels) -> Answer:
        """Descriptors and strips of images; see `models.runtimes.forward.Forward`."""
        stream, forward = taken = self._idle.get()
        try:
            return stream.run(partial(forward, images))
        finally:
            self._idle.put(taken)


def open_streams(
    first: tuple[Stream, Forward], more: Callable[[], Forward], wanted: int, batches: Sequence[Pixels]
) -> Opened:
    """As many ways through a network as are wanted and answer alike, alone and at the same time.

    One that cannot be made, or answers something else, is left out with those after it, and the ones before
    it serve. Where they do not agree at the same time, the first serves alone.

    Args:
        first: one, with its thread.
        more: makes another; it is called in the thread of that one.
        wanted: how many, the first included.
        batches: to try them with, of every size that will be run.
    """
    expected = [first[0].run(partial(first[1], batch)) for batch in batches]
    passes = [first]
    left_out: dict[str, str] = {}
    for number in range(2, wanted + 1):
        stream = Stream()
        try:
            forward = stream.run(more)
            found = [stream.run(partial(forward, batch)) for batch in batches]
            why = why_not_alike(expected, found)
        except Exception as error:  # runtimes raise families of their own
            why = words_of(error)
        if why is not None:
            left_out[f"stream {number}"] = why
            break
        passes.append((stream, forward))
    if len(passes) > 1 and (why := _why_not_together(passes, batches[-1], expected[-1])) is not None:
        left_out["stream 2"] = f"together with the first, {why}"
        passes = [first]
    return Opened(Streams(passes), len(passes), left_out)


def _why_not_together(
    passes: Sequence[tuple[Stream, Forward]], batch: Pixels, expected: Answer
) -> str | None:
    found: list[Future[Answer]] = [Future() for _ in passes]

    def ask(stream: Stream, forward: Forward, future: Future[Answer]) -> None:
        try:
            future.set_result(stream.run(partial(forward, batch)))
        except Exception as error:
            future.set_exception(error)

    for (stream, forward), future in zip(passes, found, strict=True):
        threading.Thread(target=ask, args=(stream, forward, future), daemon=True).start()
    try:
        return why_not_alike([expected] * len(passes), [future.result(TOGETHER_S) for future in found])
    except TimeoutError:
        return f"a batch has not come back for {TOGETHER_S:g} s"
    except Exception as error:  # runtimes raise families of their own
        return words_of(error)


def why_not_alike(expected: Sequence[Answer], found: Sequence[Answer]) -> str | None:
    """In what answers differ from those that are expected; None where each cosine is at least `AGREE`."""
    for (descriptors, strips), (other, others) in zip(expected, found, strict=True):
        for name, wanted, given in (("descriptors", descriptors, other), ("strips", strips, others)):
            if wanted is None and given is None:
                continue
            if wanted is None or given is None or wanted.shape != given.shape:
                return f"{name} of another shape"
            least = _cosine(wanted, given)
            if not least >= AGREE:
                return f"{len(wanted)} images have {name} with a cosine of {least:.4f}, not {AGREE}"
    return None


def _cosine(wanted: NDArray[Any], given: NDArray[Any]) -> float:
    """The least of the images'; not a number where one has none."""
    rows = [each.reshape(len(each), -1).astype(np.float64) for each in (wanted, given)]
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(rows[0], axis=1) * np.linalg.norm(rows[1], axis=1)
        return float(np.min((rows[0] * rows[1]).sum(axis=1) / lengths))


def agreeing(make: Callable[[], F], plain: Forward, batches: Sequence[Pixels]) -> F | str:
    """A forward pass that answers as another one does; or why it is not to be used.

    Args:
        make: gives it; called, and what it gives, in this thread.
        plain: the other one.
        batches: to compare them by.
    """
    try:
        made = make()
        why = why_not_alike([plain(batch) for batch in batches], [made(batch) for batch in batches])
    except Exception as error:  # runtimes raise families of their own
        return words_of(error)
    return made if why is None else why


def trial_batches(batch_sizes: Sequence[int], height: int, width: int) -> list[Pixels]:
    """A batch of every size to try a network with, uint8 [B, 3, H, W]: no image of it is like another."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (size, 3, height, width), np.uint8) for size in batch_sizes]
