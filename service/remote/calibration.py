"""Showing many images of a camera to a running service, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lka_reid_client.errors import AbandonedError, ClientError, RefusedError, ServiceUnreachableError
from models.intake.files import reason_of, why_unreadable
from models.intake.folder import find_images
from service.remote.http import ServiceClient
from service.remote.sending import ALL_ALIKE


@dataclass
class Calibrated:
    """What came of showing a camera's images.

    Attributes:
        counted: images that were new.
        already: images that were counted before.
        failed: images that could not be, each with the reason.
        stopped: why the rest was not tried; None where all were.
    """

    counted: int = 0
    already: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    stopped: str | None = None

    def take(self, image: Path, calibrate: Callable[[], bool]) -> None:
        """Note what came of showing one image.

        Args:
            image: its file.
            calibrate: shows it, or has shown it; whether it was new.

        Raises:
            AbandonedError: the client was told to stop.
        """
        try:
            if calibrate():
                self.counted += 1
            else:
                self.already += 1
        except AbandonedError:
            raise
        except OSError as error:
            self.failed.append((image, reason_of(error)))
        except ClientError as error:
            self.failed.append((image, str(error)))
            if _meets_all(error):
                self.stopped = self.stopped or str(error)


def images_of(paths: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The image files that folders (all images below) and files stand for, and what cannot be read of them.

    Raises:
        OSError: a folder cannot be listed.
    """
    images: list[Path] = []
    failed: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            found = find_images(path)
            images += found.images
            failed += [(left.path, left.reason) for left in found.left_out if left.missing]
        elif why := why_unreadable(path):
            failed.append((path, why))
        else:
            images.append(path)
    return images, failed


def calibrate_all(
    client: ServiceClient,
    camera_id: str,
    images: Sequence[Path],
    workers: int,
    tell: Callable[[int], None] = lambda _count: None,
    *,
    anew: bool = False,
) -> Calibrated:
    """Show every image; one that fails does not keep the others. Done again, none counts twice.

    Where the service goes away, or refuses what it would refuse of every image, the rest is not tried.
    Begun anew, the first image that counts takes the place of all that were shown before: images are shown
    one by one until then, and where none counts, what was known stays.

    Args:
        client: of the service.
        camera_id: whose images they are.
        images: image files.
        workers: uploads at the same time.
        tell: called with 1 after each.
        anew: whether what was shown before is to be forgotten.
    """
    result = Calibrated()
    left = list(images)
    while anew and left and not result.counted and result.stopped is None:
        image = left.pop(0)
        result.take(image, partial(client.calibrate, camera_id, image, anew=True))
        tell(1)
    if result.stopped is not None:
        return result
    with ThreadPoolExecutor(workers) as pool:
        asked = {pool.submit(client.calibrate, camera_id, image): image for image in left}
        try:
            for done in as_completed(asked):
                if done.cancelled():
                    continue
                try:
                    result.take(asked[done], done.result)
                except AbandonedError:
                    continue
                if result.stopped is not None:
                    client.abandon()
                    pool.shutdown(wait=False, cancel_futures=True)
                tell(1)
        except BaseException:
            client.abandon()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return result


def _meets_all(error: ClientError) -> bool:
    """Whether every further image would meet the same."""
    return isinstance(error, ServiceUnreachableError) or (
        isinstance(error, RefusedError) and error.status in ALL_ALIKE
    )
