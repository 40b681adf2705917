"""The thread that looks after decoding processes: who decodes what, who is ended, who is started."""

from __future__ import annotations

import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from models.decoding.errors import DecodePoolError
from models.decoding.job import Job
from models.decoding.process import DecoderProcess, ProcessEndedError

ATTEMPTS = 2
"""Processes that may end over an image: the first may have ended for another reason."""
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.2, 5.0
"""s before a process is started anew where one could not be."""


@dataclass(eq=False)
class _Decoder:
    """A process, and what it is at: starting, idle, or a job."""

    process: DecoderProcess
    ready: bool = False
    job: Job | None = None


class Dispatcher:
    """Hands images to processes, in the order in which they came; `run` does all the work, in one thread.

    Args:
        most: processes at the same time.
        on_end: called with the reason whenever a process has ended over an image.

    Attributes:
        settled: the first process is ready, or could not be started.
    """

    def __init__(self, most: int, on_end: Callable[[str], None]) -> None:
        self.settled = threading.Event()
        self._most = most
        self._least = 0
        self._on_end = on_end
        # Guards these two.
        self._lock = threading.Lock()
        self._arrived: deque[Job] = deque()
        self._closing = False

        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._bell.setblocking(False)
        self._rung = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._waiting: deque[Job] = deque()
        self._decoders: list[_Decoder] = []
        self._not_started_for: str | None = None
        self._not_before = 0.0
        self._backoff_s = FIRST_BACKOFF_S

    @property
    def pids(self) -> list[int]:
        """Of the processes that there are."""
        return [decoder.process.pid for decoder in list(self._decoders)]

    @property
    def fault(self) -> str | None:
        """Why no process decodes: the last one could not be started, and there is no other; else None."""
        return None if any(decoder.ready for decoder in list(self._decoders)) else self._not_started_for

    def put(self, job: Job) -> None:
        """Take a job in; from any thread.

        Raises:
            DecodePoolError: the dispatcher is closed.
        """
        with self._lock:
            if self._closing:
                raise DecodePoolError("the decoding processes have been stopped")
            self._arrived.append(job)
        self.ring()

    def keep(self, least: int) -> None:
        """Have so many processes from now on, whether there is work for them or not; from any thread."""
        self._least = least
        self.ring()

    def close(self) -> None:
        """Let `run` return; from any thread."""
        with self._lock:
            self._closing = True
        self.ring()

    def ring(self) -> None:
        """Something has changed; from any thread."""
        if self._rung:
            return
        self._rung = True
        try:
            self._bell.send(b"!")
        except OSError:
            # Nobody listens any more.
            return

    def run(self) -> None:
        """Work until `close`; then end all processes and tell whoever waits."""
        try:
            while not self._closing:
                for key, _ in self._selector.select(self._patience_s()):
                    if key.data is None:
                        self._alarm.recv(4096)
                        # Before looking what has changed, so that nothing which changes later is missed.
                        self._rung = False
                    else:
                        self._listen(key.data)
                with self._lock:
                    self._waiting.extend(self._arrived)
                    self._arrived.clear()
                self._end_late()
                self._start_missing()
                self._hand_out()
        finally:
            self._end_all()

    def _patience_s(self) -> float | None:
        """How long nothing needs to be done unless something happens."""
        moments = [job.deadline for job in self._waiting]
        moments += [decoder.job.ends_at() for decoder in self._decoders if decoder.job is not None]
        if len(self._decoders) < self._wanted():
            moments.append(self._not_before)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _wanted(self) -> int:
        busy = sum(decoder.job is not None for decoder in self._decoders)
        return max(self._least, min(self._most, busy + len(self._waiting)))

    def _start_missing(self) -> None:
        while len(self._decoders) < self._wanted() and time.monotonic() >= self._not_before:
            try:
                decoder = _Decoder(DecoderProcess())
            except OSError as error:
                self._not_started(f"a decoding process cannot be started: {error.strerror}")
                return
            self._decoders.append(decoder)
            self._selector.register(decoder.process, selectors.EVENT_READ, decoder)

    def _not_started(self, fault: str) -> None:
        self._not_started_for = fault
        self._not_before = time.monotonic() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)
        self.settled.set()

    def _hand_out(self) -> None:
        for decoder in [decoder for decoder in self._decoders if decoder.ready and decoder.job is None]:
            if not self._waiting:
                return
            job = decoder.job = self._waiting.popleft()
            job.given_at = time.monotonic()
            try:
                decoder.process.send(job.files, job.task.request())
            except ProcessEndedError:
                self._on_ended(decoder)
            except OSError as error:
                decoder.job = None
                job.refuse(f"there is no memory to decode the image in ({error.strerror})")

    def _listen(self, decoder: _Decoder) -> None:
        try:
            said = decoder.process.receive()
            if said is None:
                return
            if not decoder.ready:
                decoder.ready = True
                self._not_started_for, self._backoff_s = None, FIRST_BACKOFF_S
                self.settled.set()
                return
            if decoder.job is None:
                raise ProcessEndedError("it speaks without being asked")
            outcome = decoder.job.outcome(said, decoder.process)
        except ProcessEndedError:
            self._on_ended(decoder)
            return
        decoder.process.forget()
        job, decoder.job = decoder.job, None
        job.answer(outcome)

    def _on_ended(self, decoder: _Decoder) -> None:
        """A process has ended by itself: its image gets a second one, or the blame."""
        if not decoder.ready:
            said = decoder.process.last_words().splitlines() or ["it said nothing"]
            self._not_started(
                f"a decoding process ended before it was ready ({_how(self._end(decoder))}): {said[-1]}"
            )
            return
        status = self._end(decoder)
        job = decoder.job
        if job is None:
            return
        self._on_end(f"ended over an image ({_how(status)})")
        job.ended += 1
        if status == -signal.SIGXCPU:
            job.refuse("the image takes more of a processor than one is given")
        elif job.ended < ATTEMPTS and len(job.files) == 1 and not job.future.cancelled():
            self._waiting.appendleft(job)
        else:
            job.refuse(f"the image ends the process that decodes it ({_how(status)})")

    def _end_late(self) -> None:
        """End what is past its deadline, or has been unwanted for a while."""
        now = time.monotonic()
        for job in [job for job in self._waiting if job.future.cancelled() or now >= job.deadline]:
            self._waiting.remove(job)
            job.expire(now)
        for decoder in list(self._decoders):
            if decoder.job is not None and decoder.job.is_late(now):
                self._end(decoder)
                self._on_end(f"was ended {decoder.job.why_ended(now)}")
                decoder.job.expire(now)

    def _end(self, decoder: _Decoder) -> int:
        self._selector.unregister(decoder.process)
        self._decoders.remove(decoder)
        return decoder.process.end()

    def _end_all(self) -> None:
        with self._lock:
            self._closing = True
            jobs = [*self._arrived, *self._waiting]
            self._arrived.clear()
            self._waiting.clear()
        for decoder in list(self._decoders):
            self._end(decoder)
            jobs += [decoder.job] if decoder.job is not None else []
        for job in jobs:
            job.answer(DecodePoolError("the decoding processes have been stopped"))
        self._not_started("the decoding processes have been stopped")
        self._selector.close()
        self._alarm.close()
        self._bell.close()


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
