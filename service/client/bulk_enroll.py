"""Enrolling many files through a running service, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from models.decoding import ImageError, decode
from models.intake.files import reason_of
from service.client.errors import AbandonedError, ClientError, RefusedError, ServiceUnreachableError
from service.client.http import ServiceClient
from service.client.outcome import Fate, NotEnrolled, Outcome
from service.client.sources import Upload

ALL_ALIKE = frozenset({401, 403, 507})
"""Refusals that every further image would meet: no key, the wrong one, a disk that is full."""

INTERRUPTED = "interrupted"

Tell = Callable[[int], None]


def upload_all(
    client: ServiceClient, uploads: Sequence[Upload], workers: int, tell: Tell = lambda _count: None
) -> Outcome:
    """Enroll every upload; one that fails does not keep the others.

    Where the service goes away, or refuses what it would refuse of every image, and on KeyboardInterrupt,
    what is under way is finished and the rest is not tried. Done again, it goes on from there.

    Args:
        client: of the service.
        uploads: what to enroll.
        workers: uploads at the same time.
        tell: called with 1 after each.
    """

    return _each(
        lambda upload: NotEnrolled(upload.place, *_send(client, upload)),
        uploads,
        workers,
        tell,
        client.abandon,
    )


def check_all(uploads: Sequence[Upload], workers: int, tell: Tell = lambda _count: None) -> Outcome:
    """Read and decode every upload, and send none: those that could be enrolled count as enrolled.

    Args:
        uploads: what to check.
        workers: images at the same time.
        tell: called with 1 after each.
    """

    def check(upload: Upload) -> NotEnrolled:
        try:
            decode(upload.path.read_bytes())
        except OSError as error:
            return NotEnrolled(upload.place, Fate.failed, reason_of(error))
        except ImageError as error:
            return NotEnrolled(upload.place, Fate.failed, str(error))
        return NotEnrolled(upload.place, Fate.enrolled, "")

    return _each(check, uploads, workers, tell, lambda: None)


class _StopError(Exception):
    """What every further image would meet."""


def _send(client: ServiceClient, upload: Upload) -> tuple[Fate, str]:
    try:
        answer = client.enroll(upload.path, upload.fields)
    except OSError as error:
        return Fate.failed, reason_of(error)
    except AbandonedError as error:
        return Fate.not_tried, str(error)
    except ServiceUnreachableError as error:
        raise _StopError(str(error)) from error
    except RefusedError as error:
        if error.status in ALL_ALIKE:
            raise _StopError(str(error)) from error
        return Fate.failed, str(error)
    except ClientError as error:
        return Fate.failed, str(error)
    if answer.new:
        return Fate.enrolled, ""
    if answer.differs is None:
        return Fate.failed, "its id is enrolled already; whether with this image the service does not say"
    if "image" in answer.differs:
        return Fate.other_image, f"another image is enrolled as {upload.image_id!r}"
    if answer.differs:
        return Fate.other_fields, f"enrolled with another {', '.join(answer.differs)}"
    return Fate.already, ""


def _each(
    work: Callable[[Upload], NotEnrolled],
    uploads: Sequence[Upload],
    workers: int,
    tell: Tell,
    abandon: Callable[[], None],
) -> Outcome:
    """Do some work with every upload, a few at a time, until one ends it all or the user does."""
    outcome = Outcome()
    waiting = iter(uploads)
    running: dict[Future[NotEnrolled], Upload] = {}

    def stop(reason: str) -> None:
        outcome.stopped = outcome.stopped or reason
        abandon()

    def step() -> bool:
        """Start what there is room for and see to what is done; False where nothing is under way."""
        while outcome.stopped is None and len(running) < workers:
            upload = next(waiting, None)
            if upload is None:
                break
            running[pool.submit(work, upload)] = upload
        if not running:
            return False
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            upload = running.pop(done)
            try:
                outcome.extend([done.result()])
            except _StopError as error:
                outcome.add(upload.place, Fate.failed, str(error))
                stop(str(error))
            tell(1)
        return True

    with ThreadPoolExecutor(workers) as pool:
        while True:
            try:
                if not step():
                    break
            except KeyboardInterrupt:
                if outcome.stopped == INTERRUPTED:
                    raise
                stop(INTERRUPTED)
                outcome.stopped = INTERRUPTED
    for upload in waiting:
        outcome.add(upload.place, Fate.not_tried, "")
    return outcome
