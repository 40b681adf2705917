"""Enrolling many files through a running service, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from models.decoding import ImageError, decode
from models.intake.files import reason_of
from service.remote.http import ServiceClient
from service.remote.outcome import Fate, NotEnrolled, Outcome
from service.remote.sending import Sender, StopError
from service.remote.sources import Upload

LOOK_S = 0.05
"""s between two looks at what is done."""
BATCH = 32
"""Images in one request."""
INTERRUPTED = "interrupted"

Tell = Callable[[int], None]


def upload_all(
    client: ServiceClient,
    uploads: Sequence[Upload],
    workers: int,
    tell: Tell = lambda _count: None,
    batch: int = BATCH,
) -> Outcome:
    """Enroll every upload; one that fails does not keep the others.

    Where the service goes away, or refuses what it would refuse of every image, and on KeyboardInterrupt,
    what is under way is finished and the rest is not tried. Done again, it goes on from there.

    Args:
        client: of the service.
        uploads: what to enroll.
        workers: requests at the same time.
        tell: called with the images that are done after each request.
        batch: images in one request at most; a service that takes no batches gets them one by one.
    """
    sender = Sender(client)
    groups = [uploads[start : start + batch] for start in range(0, len(uploads), batch)]
    return _each(sender.send, groups, workers, tell, client.abandon)


def check_all(uploads: Sequence[Upload], workers: int, tell: Tell = lambda _count: None) -> Outcome:
    """Read and decode every upload, and send none: those that could be enrolled count as enrolled.

    Args:
        uploads: what to check.
        workers: images at the same time.
        tell: called with 1 after each.
    """

    def check(group: Sequence[Upload]) -> list[NotEnrolled]:
        [upload] = group
        return [_checked(upload)]

    return _each(check, [[upload] for upload in uploads], workers, tell, lambda: None)


def _checked(upload: Upload) -> NotEnrolled:
    try:
        decode(upload.path.read_bytes())
    except OSError as error:
        return NotEnrolled(upload.place, Fate.failed, reason_of(error))
    except ImageError as error:
        return NotEnrolled(upload.place, Fate.failed, str(error))
    return NotEnrolled(upload.place, Fate.enrolled, "")


def _each(
    work: Callable[[Sequence[Upload]], list[NotEnrolled]],
    groups: Sequence[Sequence[Upload]],
    workers: int,
    tell: Tell,
    abandon: Callable[[], None],
) -> Outcome:
    """Do some work with every group, a few at a time, until one ends it all or the user does.

    Threads take the groups and keep what became of them: an interruption finds nothing half reported.
    """
    outcome = Outcome()
    waiting = iter(groups)
    taking = threading.Condition()
    done: list[list[NotEnrolled]] = []
    under_way: list[Sequence[Upload]] = []

    def stop(reason: str) -> None:
        outcome.stopped = outcome.stopped or reason
        abandon()

    def serve() -> None:
        while outcome.stopped is None:
            with taking:
                group = next(waiting, None)
                if group is None:
                    return
                under_way.append(group)
            try:
                done.append(work(group))
            except StopError as error:
                done.append(error.done)
                stop(str(error))
            finally:
                with taking:
                    under_way.remove(group)
                    taking.notify()

    reported = 0
    with ThreadPoolExecutor(workers) as pool:
        serving: list[Future[None]] = []
        while True:
            try:
                while len(serving) < workers:
                    serving.append(pool.submit(serve))
                is_over = not wait(serving, timeout=LOOK_S).not_done
                while reported < len(done):
                    reported += 1
                    tell(len(done[reported - 1]))
                if is_over:
                    break
            except KeyboardInterrupt:
                if outcome.stopped == INTERRUPTED:
                    raise
                stop(INTERRUPTED)
                outcome.stopped = INTERRUPTED
    for future in serving:
        future.result()
    # An interruption while a thread starts leaves one that neither the pool nor this list knows.
    with taking:
        taking.wait_for(lambda: not under_way)
    for entries in done:
        outcome.extend(entries)
    for group in waiting:
        for upload in group:
            outcome.add(upload.place, Fate.not_tried, "")
    return outcome
