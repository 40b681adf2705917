"""Decoding in processes that can be ended: a hostile image costs its own request, and nobody else's.

An image keeps its place until its process has really done with it or has ended, so that never more images are
decoded at a time than there are processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from PIL import Image

from models.decoding.dispatcher import Dispatcher
from models.decoding.errors import DecodePoolError, ImageError
from models.decoding.job import Job
from models.decoding.sharedmemory import KEPT_BYTES
from models.decoding.tasks import Crop, Cut, Decode, Detect, FrameVehicles, Prepare
from models.preprocessing import Pixels, Size

START_S = 60.0
"""s that the first process is given to start."""
TOGETHER, TOGETHER_BYTES = 8, 128 * 1024
"""Image files, and their bytes, that one process takes together at most: a few ms of work."""


def grouped(files: Sequence[bytes], size: Size, most: int) -> Iterator[Sequence[bytes]]:
    """Image files in groups, in their order, each for one call of `DecodePool.prepare`.

    Args:
        files: any number.
        size: of what the network wants to see.
        most: of a group.
    """
    most = max(1, min(most, TOGETHER, KEPT_BYTES // (3 * size.height * size.width)))
    group: list[bytes] = []
    for file in files:
        if group and (len(group) == most or sum(map(len, group)) + len(file) > TOGETHER_BYTES):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


class DecodePool:
    """Decodes images in a bounded number of processes, for threads and event loops alike.

    Every method may be called from any thread. Futures are those of `concurrent.futures`: wait by `result()`,
    or in an event loop by `asyncio.wrap_future`; cancelling one gives the image up. A process that is ended
    at a deadline, or ends over an image, is replaced. Processes are started when they are needed, or by
    `start`.

    Args:
        processes: images decoded at the same time.
        on_end: called with the reason whenever a process has ended over an image; in the pool's thread.
    """

    def __init__(self, processes: int, on_end: Callable[[str], None] = lambda _reason: None) -> None:
        self._processes = processes
        self._dispatcher = Dispatcher(processes, on_end)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def fault(self) -> str | None:
        """Why no process decodes: the last one could not be started, and there is no other; else None."""
        return self._dispatcher.fault

    @property
    def pids(self) -> list[int]:
        """Of the processes that there are now."""
        return self._dispatcher.pids

    def prepare(
        self, files: Sequence[bytes], size: Size, deadline: float
    ) -> Future[list[Pixels | ImageError]]:
        """Decode image files and prepare each, as `models.preprocessing.prepare` does: uint8 `[3, H, W]`.

        One process takes them one after the other. An `ImageError` is in place of one whose bytes are no
        usable image, or, alone, end the processes that decode them.

        The future raises `TimeoutError` where the deadline passed, `DecodePoolError` where the pool was
        closed, and of several files `TogetherError` where they ended the process or took it long: try each
        alone then.

        Args:
            files: one or more; see `grouped`.
            size: of what the network wants to see.
            deadline: of `time.monotonic()`, in s.

        Raises:
            DecodePoolError: the pool is closed.
            ValueError: no file.
        """
        if not files:
            raise ValueError("there is no image to prepare")
        return self._submit(Job(files, Prepare(size, len(files)), deadline, Future()))

    def decode(self, data: bytes, deadline: float) -> Future[Image.Image]:
        """Decode an image file to RGB, as `models.decoding.decode` does.

        The future raises what `prepare` says, and `ImageError`.
        """
        return self._submit(Job([data], Decode(), deadline, Future()))

    def detect(self, data: bytes, detector: Mapping[str, Any], deadline: float) -> Future[FrameVehicles]:
        """Decode an image file and find the vehicles in it; see `decode`.

        The future raises `DetectorError`, too, where the detector cannot be loaded.

        Args:
            data: the image file.
            detector: see `models.detection.bundle.DetectorBundle.described`.
            deadline: of `time.monotonic()`, in s.
        """
        return self._submit(Job([data], Detect(detector), deadline, Future()))

    def cut(
        self, data: bytes, boxes: Sequence[Sequence[float]], margin: float, deadline: float
    ) -> Future[list[Crop]]:
        """Decode an image file and cut boxes out of it, each with a margin; see `decode`.

        The future raises `BoxError`, too, where a box has too little inside the frame.
        """
        return self._submit(Job([data], Cut(boxes, margin), deadline, Future()))

    def start(self) -> None:
        """Begin to start all processes, so that images need not wait for them; returns at once."""
        self._begin()
        self._dispatcher.keep(self._processes)

    def wait_until_ready(self) -> None:
        """Wait, after `start`, for the first process.

        Raises:
            DecodePoolError: it cannot be started; the message says why.
        """
        if not self._dispatcher.settled.wait(START_S):
            raise DecodePoolError(f"no decoding process is ready after {START_S:g} s")
        if self.fault is not None:
            raise DecodePoolError(self.fault)

    def close(self) -> None:
        """End all processes; whoever still waits gets a `DecodePoolError`."""
        self._begin()
        self._dispatcher.close()
        if self._thread is not None:
            self._thread.join()

    def _submit(self, job: Job) -> Future:  # type: ignore[type-arg] # of whatever the job is asked for
        # Of the dispatcher alone, not of the job: a future that holds on to what holds on to it, and to an
        # image, is not let go until a collection.
        job.future.add_done_callback(self._on_done)
        self._begin()
        self._dispatcher.put(job)
        return job.future

    def _on_done(self, future: Future[object]) -> None:
        if future.cancelled():
            self._dispatcher.ring()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._dispatcher.run, name="decode-pool", daemon=True)
                self._thread.start()
