"""Enrolling many files through a running service, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from rich.progress import Progress

from service.client.http import RefusedError, ServiceClient, ServiceUnreachableError
from service.client.sources import Upload


@dataclass
class Outcome:
    """How an upload of many went; `failures` are paths and reasons."""

    enrolled: int = 0
    already: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def upload_all(
    client: ServiceClient,
    uploads: Sequence[Upload],
    workers: int,
    progress: Progress,
    description: str = "Enrolling",
) -> Outcome:
    """Enroll every upload; one that fails does not keep the others. Interrupted, it can be run again."""
    outcome = Outcome()
    task = progress.add_task(description, total=len(uploads))
    pool = ThreadPoolExecutor(workers)
    try:
        running = {pool.submit(client.enroll, upload.path, upload.fields): upload for upload in uploads}
        for done in as_completed(running):
            try:
                if done.result():
                    outcome.enrolled += 1
                else:
                    outcome.already += 1
            except (RefusedError, ServiceUnreachableError, OSError) as error:
                outcome.failures.append((str(running[done].path), str(error)))
            progress.advance(task)
    finally:
        pool.shutdown(cancel_futures=True)
    outcome.failures.sort()
    return outcome
