"""The batcher: images in, batches through the forward pass, answers out.

A caller holds a `Place` from before its images are decoded until it has their answers; room is counted in
images and bounded, so overload is answered at once and memory with it. Worker threads take what waits, one
for each batch that the forward pass takes at the same time:

- a batch closes when it is full, when nobody else is on the way (every other place is waiting already), or
  when its oldest image has waited `max_wait_s`: a lone request never waits;
- while another batch is under way, only a full one begins beside it: what is not full goes on filling;
- whoever has gone away or is past the deadline is dropped before any compute is spent;
- when a batch of several fails, each is tried alone, so that one bad image harms only itself.

Whatever ends a worker thread, a lost device among it, everyone waiting gets an error, `health()` says so,
and `on_lost` is called.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from models.preprocessing import Pixels
from service.inference.fatal_errors import EmbedderLostError, is_fatal
from service.inference.forward import EmbeddingError, ForwardPass
from service.inference.request import Embedded, Group, Outcome, Overloaded, WaitingImage, WorkerStoppedError

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WorkerHealth:
    """What is known of the worker without asking it anything.

    Attributes:
        alive: the threads run and take images.
        last_failed: the newest forward pass failed.
        success_age_s: s since a forward pass last succeeded; None before the first.
        batch_age_s: s that the oldest batch under way has taken; None between batches.
    """

    alive: bool
    last_failed: bool
    success_age_s: float | None
    batch_age_s: float | None


@dataclass(eq=False, slots=True)
class _Batch:
    """Images on their way through the forward pass, and when they set out, by `time.monotonic()`."""

    images: list[WaitingImage]
    since: float


class Place:
    """Room for images in the batcher, to be used as a context manager; leaving it gives the room back."""

    def __init__(self, batcher: Batcher, deadline: float, count: int) -> None:
        self._batcher = batcher
        self._deadline = deadline
        self._count = count
        self._group: Group | None = None

    def submit(self, images: Sequence[Pixels]) -> Group:
        """Hand in prepared images, each uint8 `[3, H, W]`, once: one or more, as many as there is room for.

        Each is answered with its features or with `Expired`, `EmbeddingError` or `WorkerStoppedError`;
        cancelling the group's future frees the place.

        Raises:
            WorkerStoppedError: the worker has ended since the place was taken.
            ValueError: an image of another shape, too many, or a second time.
        """
        if self._group is not None or not 0 < len(images) <= self._count:
            raise ValueError(f"a place for {self._count} images takes so many, once")
        self._group = self._batcher._enqueue(images, self._deadline, self._count)
        return self._group

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        if self._group is None:
            self._batcher._forgo(self._count)
        else:
            self._group.future.cancel()


class Batcher:
    """Collects images into batches for one forward pass, in worker threads.

    Args:
        forward: what embeds a batch.
        streams: batches that `forward` takes at the same time, a worker thread each.
        max_batch: images in a batch at most; no more than `forward` takes.
        max_wait_s: s a batch waits at most for images known to be on the way.
        max_queue: places, that is images being decoded or waiting.
        on_batch: called with `(images, seconds)` after every batch that succeeded.
        on_lost: called once, with the reason, when a batcher that took images stops other than by `close`.
    """

    def __init__(
        self,
        forward: ForwardPass,
        *,
        streams: int = 1,
        max_batch: int = 8,
        max_wait_s: float = 0.002,
        max_queue: int = 256,
        on_batch: Callable[[int, float], None] = lambda _images, _seconds: None,
        on_lost: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.streams = streams
        self._forward = forward
        self._max_wait_s = max_wait_s
        self._on_batch = on_batch
        self._on_lost = on_lost

        # Guards everything below but the threads.
        self._changed = threading.Condition()
        self._waiting: deque[WaitingImage] = deque()
        self._running: list[_Batch] = []
        self._expected = 0
        self._closing = False
        self._alive = False

        self._warm: Future[None] = Future()
        self._threads = [
            threading.Thread(target=work, name="embedder", daemon=True)
            for work in (self._begin, *[self._work] * (streams - 1))
        ]

    @property
    def depth(self) -> int:
        """Places taken: images on the way and images waiting."""
        return self._expected + len(self._waiting)

    @property
    def oldest_s(self) -> float:
        """Seconds that the image at the head of the queue has waited; 0 where none waits."""
        with self._changed:
            return time.monotonic() - self._waiting[0].group.queued_at if self._waiting else 0.0

    def start(self) -> None:
        """Start the workers and warm the forward pass up; returns when that is done.

        Raises:
            EmbeddingError: the embedder failed on a blank image.
        """
        self._threads[0].start()
        self._warm.result()
        for thread in self._threads[1:]:
            thread.start()

    def place(self, deadline: float, count: int = 1) -> Place:
        """Take a place for so many images until `deadline` (of `time.monotonic()`, in s).

        Raises:
            Overloaded: there is not room for all of them.
            WorkerStoppedError: the worker does not run.
        """
        with self._changed:
            if self._closing or not self._alive:
                raise WorkerStoppedError("the embedding worker is not running")
            if self.depth + count > self.max_queue:
                raise Overloaded(f"all {self.max_queue} places for waiting images are taken")
            self._expected += count
        return Place(self, deadline, count)

    def health(self) -> WorkerHealth:
        """The workers' state as known now."""
        alive = self._alive and all(thread.is_alive() for thread in self._threads)
        with self._changed:
            since = min((batch.since for batch in self._running), default=None)
        batch_age_s = None if since is None else time.monotonic() - since
        return WorkerHealth(alive, self._forward.last_failed, self._forward.success_age_s, batch_age_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Take no more places, answer everyone who has one, end the workers.

        Whoever is still without an answer after `timeout_s` gets a `WorkerStoppedError`.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                # A thread that was given up may never come back.
                thread.join(max(0.0, end - time.monotonic()) if self._alive else 0)
        self._abandon(WorkerStoppedError("the service is shutting down"))

    def give_up(self, reason: str) -> None:
        """Wait for the batch under way no longer: everyone gets a `WorkerStoppedError`."""
        if self._abandon(WorkerStoppedError("the embedding worker has ended")):
            self._on_lost(reason)

    def _enqueue(self, images: Sequence[Pixels], deadline: float, expected: int) -> Group:
        for image in images:
            if image.shape != self._forward.image_shape:
                raise ValueError(
                    f"an image of shape {image.shape}; the embedder takes {self._forward.image_shape}"
                )
        group = Group(len(images), deadline)
        with self._changed:
            if not self._alive:
                raise WorkerStoppedError("the embedding worker is not running")
            self._expected -= expected
            self._waiting.extend(WaitingImage(image, group, row) for row, image in enumerate(images))
            self._changed.notify_all()
        # Not with the group: its future would hold on to what holds on to it.
        group.future.add_done_callback(self._withdraw)
        return group

    def _forgo(self, count: int) -> None:
        with self._changed:
            self._expected -= count
            self._changed.notify_all()

    def _withdraw(self, future: Future[list[Outcome]]) -> None:
        if not future.cancelled():
            return
        with self._changed:
            for item in [item for item in self._waiting if item.group.future is future]:
                self._waiting.remove(item)

    def _begin(self) -> None:
        """The first worker's thread: it warms the forward pass up before it takes images."""
        try:
            self._forward.warm_up()
        except BaseException as error:
            self._warm.set_exception(error)
            return
        with self._changed:
            self._alive = True
        self._warm.set_result(None)
        self._work()

    def _work(self) -> None:
        try:
            while batch := self._next_batch():
                self._answer(batch.images)
                self._finish(batch)
        except BaseException as error:
            # Also SystemExit and the like: a thread that ends in silence leaves its callers waiting.
            log.exception("worker_died")
            self.give_up(str(error) or type(error).__name__)

    def _next_batch(self) -> _Batch | None:
        """Wait for images and take up to `max_batch` of them; None when the batcher has closed."""
        while True:
            with self._changed:
                while self._alive and not self._waiting and not (self._closing and self._expected == 0):
                    self._changed.wait()
                while self._waiting and not self._is_due():
                    self._changed.wait(self._patience_s())
                taken = [self._waiting.popleft() for _ in range(min(self.max_batch, len(self._waiting)))]
                # Images are running from the moment that they wait no more: whatever ends answers them.
                batch = _Batch(taken, time.monotonic())
                if taken:
                    self._running.append(batch)
                elif not self._alive or (self._closing and self._expected == 0):
                    return None
            batch.images = [item for item in taken if item.is_wanted and not item.drop_if_expired()]
            if batch.images:
                return batch
            self._finish(batch)

    def _finish(self, batch: _Batch) -> None:
        with self._changed:
            # It is not there any more where everyone was given up meanwhile.
            if batch in self._running:
                self._running.remove(batch)
                self._changed.notify_all()

    def _is_due(self) -> bool:
        if len(self._waiting) >= self.max_batch:
            return True
        return not self._running and (
            self._expected == 0 or time.monotonic() >= self._waiting[0].group.queued_at + self._max_wait_s
        )

    def _patience_s(self) -> float | None:
        """s after which waiting images are due though nothing changes; None while a batch is under way."""
        if self._running:
            return None
        return self._waiting[0].group.queued_at + self._max_wait_s - time.monotonic()

    def _answer(self, batch: list[WaitingImage]) -> None:
        started = time.monotonic()
        try:
            features = self._forward([item.image for item in batch])
        except EmbeddingError as error:
            if is_fatal(error):
                raise EmbedderLostError(str(error)) from error
            if len(batch) == 1:
                # In the caller's context, which knows the request's id.
                batch[0].group.context.run(log.warning, "embedding_failed", exc_info=error)
                batch[0].answer(error)
                return
            log.warning("batch_failed", images=len(batch), error=str(error))
            for item in batch:
                if not item.drop_if_expired():
                    self._answer([item])
            return
        embed_s = time.monotonic() - started
        self._on_batch(len(batch), embed_s)
        for item, its_features in zip(batch, features, strict=True):
            item.answer(Embedded(its_features, started - item.group.queued_at, embed_s))

    def _abandon(self, error: WorkerStoppedError) -> bool:
        """Fail everyone who is still without an answer, and let no one else in; False where that was so."""
        with self._changed:
            was_alive, self._alive = self._alive, False
            left = [*(item for batch in self._running for item in batch.images), *self._waiting]
            self._waiting.clear()
            self._running.clear()
            self._changed.notify_all()
        for item in left:
            item.answer(error)
        return was_alive
