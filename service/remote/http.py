"""The command line's client of a service: documents as they were answered, errors with its remedies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from lka_reid_client import Client, Kind
from lka_reid_client.answers import EnrolledItem
from lka_reid_client.call import Call
from lka_reid_client.calls import cameras, collections, gallery, health, search, verdicts
from lka_reid_client.errors import RefusedError
from lka_reid_client.operation import Step

T = TypeVar("T")

REMEDIES = {
    Kind.KEY_REQUIRED: "; give a command one by LKA_REID_KEY or --key",
    Kind.COLLECTION_OUT_OF_REACH: "; name one that it reaches by --collection",
}
"""What a command adds to the words of a problem, by its kind: they are said of HTTP."""
NO_SUCH_ROUTE = frozenset({404, 405})

Fields = Mapping[str, str | list[str]]
OnWait = Callable[[float, str], None]


@dataclass(frozen=True)
class Enrolled:
    """How an enrollment went.

    Attributes:
        new: whether it is enrolled by this; else its id was enrolled already, and nothing was changed.
        differs: what is not as enrolled already, `image` for the file's bytes; None where that is not known.
    """

    new: bool
    differs: tuple[str, ...] | None = ()


class ServiceClient:
    """Talks to one service as `lka_reid_client.Client` does, whose errors its methods raise.

    Args:
        url: such as `http://127.0.0.1:8000`.
        key: API key, where the service has keys.
        timeout_s: s for one answer.
        on_wait: called before every wait with its length in s and the answer's reason.
        collection: what requests are about; None for the default one.

    Raises:
        ServiceUnreachableError: no URL, no key, or a proxy that cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout_s: float = 60.0,
        on_wait: OnWait = lambda _seconds, _reason: None,
        collection: str | None = None,
    ) -> None:
        self.client = Client(url, key, timeout_s, collection=collection, on_wait=on_wait)
        self.collection = collection
        self.url = self.client.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def abandon(self) -> None:
        """End all waits, in whatever thread, by AbandonedError; what is being answered is not disturbed."""
        self.client.abandon()

    @property
    def is_abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self.client.is_abandoned

    def ready(self) -> dict[str, Any]:
        """What `GET /health/ready` says."""
        return self.send(health.ready()).document()

    def await_ready(self) -> dict[str, Any]:
        """What `GET /health/ready` says once the service is ready, for which it has two minutes.

        Raises:
            AbandonedError: see `abandon`.
        """
        return self.send(health.await_ready()).document()

    def enroll(self, image: Path, fields: Fields) -> Enrolled:
        """Enroll an image file. Without an answer it is sent again, too: under the same id that is safe.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        try:
            self.send(gallery.enroll(image, **_typed(fields)))
        except RefusedError as error:
            if error.status == 409:
                return Enrolled(new=False, differs=error.differs)
            raise
        return Enrolled(new=True)

    def enroll_many(
        self, images: Sequence[bytes], fields: Sequence[Fields]
    ) -> list[Enrolled | RefusedError] | None:
        """Enroll image files by one request; what became of each. None where the service takes no batches.

        Raises:
            AbandonedError: see `abandon`.
        """
        try:
            answer = self.send(gallery.enroll_batch(images, fields))
        except RefusedError as error:
            if error.status in NO_SUCH_ROUTE:
                return None
            raise
        if len(answer.items) != len(images):
            raise self.client.not_ours(200)
        return [self._item(item) for item in answer.items]

    def _item(self, item: EnrolledItem) -> Enrolled | RefusedError:
        """What a batch's answer says of one image."""
        if item.status < 300:
            return Enrolled(new=True)
        problem = "null" if item.problem is None else json.dumps(item.problem.document())
        error = with_remedy(self.client.refusal(item.status, problem))
        if item.status == 409:
            return Enrolled(new=False, differs=error.differs)
        return error

    def records(self, where: Fields | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The records that a filter lets through, in order of enrollment, at most `limit`; page by page."""
        for record in self.iterate(gallery.records(limit=limit, **_typed(where or {}))):
            yield record.document()

    def record(self, image_id: str) -> dict[str, Any]:
        """What `GET /gallery/{image_id}` says."""
        return self.send(gallery.record(image_id)).document()

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The file of an enrolled image, and its media type."""
        return self.send(gallery.image(image_id))

    def is_enrolled(self, image_id: str) -> bool:
        """Whether an image of this id is enrolled."""
        return self._is_known(Kind.UNKNOWN_IMAGE, gallery.record(image_id))

    def update(self, image_id: str, fields: Fields) -> dict[str, Any]:
        """What `PATCH /gallery/{image_id}` answers: the record with new values for fields; see there."""
        return self.send(gallery.update(image_id, **_typed(fields))).document()

    def delete(self, image_id: str) -> bool:
        """Delete an image; whether there was one."""
        return self._is_known(Kind.UNKNOWN_IMAGE, gallery.delete(image_id))

    def count(self, where: Fields) -> int:
        """How many images meet conditions, of which there is one at least."""
        return self.send(gallery.count(**_typed(where)))

    def delete_where(self, where: Fields) -> Iterator[tuple[int, int]]:
        """Delete all images that meet conditions; images deleted by each request, and those that are left."""
        for answer in self.iterate(gallery.delete_where(**_typed(where))):
            yield answer.deleted, answer.left

    def retention(self, days: int | None = None) -> dict[str, Any]:
        """What `GET /retention` says; with days, how many images are older than that."""
        return self.send(gallery.retention(days)).document()

    def set_retention(self, days: int | None) -> dict[str, Any]:
        """Keep images for so many days, None for ever; what the service says then."""
        call = gallery.forget_retention() if days is None else gallery.set_retention(days)
        return self.send(call).document()

    def collections(self) -> list[dict[str, Any]]:
        """What `GET /collections` lists."""
        return [one.document() for one in self.send(collections.collections()).collections]

    def create_collection(self, name: str, quota: Mapping[str, int]) -> dict[str, Any]:
        """Make a collection, with `max_images` and `max_bytes` where they are given; what is answered."""
        return self.send(collections.create_collection(name, **quota)).document()

    def set_quota(self, name: str, quota: Mapping[str, int]) -> dict[str, Any]:
        """Set a collection's quota; a limit that is not given is none. What is answered."""
        return self.send(collections.set_quota(name, **quota)).document()

    def drop_collection(self, name: str) -> None:
        """Drop a collection and all that is in it."""
        self.send(collections.drop_collection(name))

    def cameras(self) -> dict[str, Any]:
        """What `GET /cameras` says."""
        return self.send(cameras.cameras()).document()

    def camera(self, camera_id: str) -> dict[str, Any]:
        """What `GET /cameras/{camera_id}` says."""
        return self.send(cameras.camera(camera_id)).document()

    def calibrate(self, camera_id: str, image: Path, *, anew: bool = False) -> bool:
        """Show an image of a camera; whether it was counted, and not before. It may be sent again, too.

        With `anew` it takes the place of all that were shown before, and is not sent again.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        return self.send(cameras.calibrate(camera_id, image, anew=anew)).counted

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """All verdicts, page by page, as `GET /verdicts` has them."""
        for verdict in self.iterate(verdicts.verdicts()):
            yield verdict.document()

    def probe_image(self, probe: str) -> tuple[bytes, str]:
        """The file of a probe that has verdicts, and its media type."""
        return self.send(verdicts.probe_image(probe))

    def detect(self, image: Path) -> dict[str, Any]:
        """What `POST /detect` answers to an image file.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        return self.send(search.detect(image)).document()

    def query(
        self,
        image: Path,
        *,
        top_k: int,
        rerank: bool,
        camera_id: str | None = None,
        where: Fields | None = None,
        box: str | None = None,
        detect: str | None = None,
        verdicts: bool = True,
    ) -> dict[str, Any]:
        """What `POST /query` answers to an image file, of the camera `camera_id` where that is known.

        `where` is a filter's fields; see `service.filtering`. Of a frame, `box` names the vehicle (`x,y,w,h`
        in px), or `detect` (`one`, `largest`) has it found. `verdicts`: whether those on it count.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        call = search.query(
            image,
            top_k=top_k,
            rerank=rerank,
            verdicts=verdicts,
            camera_id=camera_id,
            box=box,
            detect=detect,
            **_typed(where or {}),
        )
        return self.send(call).document()

    def query_all(
        self,
        image: Path,
        *,
        top_k: int,
        rerank: bool,
        camera_id: str | None = None,
        where: Fields | None = None,
        verdicts: bool = True,
    ) -> dict[str, Any]:
        """What `POST /query` answers with `detect=all`: one answer a vehicle of a frame; see `query`."""
        call = search.query_all(
            image,
            top_k=top_k,
            rerank=rerank,
            verdicts=verdicts,
            camera_id=camera_id,
            **_typed(where or {}),
        )
        return self.send(call).document()

    def send(self, call: Call[T]) -> T:
        """What the answer to a call means."""
        try:
            return self.client.send(call)
        except RefusedError as error:
            raise with_remedy(error) from None

    def iterate(self, step: Step[T]) -> Iterator[T]:
        """What comes page by page."""
        try:
            yield from self.client.iterate(step)
        except RefusedError as error:
            raise with_remedy(error) from None

    def _is_known(self, missing: Kind, call: Call[Any]) -> bool:
        try:
            self.send(call)
        except RefusedError as error:
            if error.kind != missing:
                raise
            return False
        return True


def with_remedy(error: RefusedError) -> RefusedError:
    """The error, with what a command may do about it."""
    remedy = next((words for kind, words in REMEDIES.items() if kind == error.kind), "")
    return error.saying(f"{error}{remedy}") if remedy else error


def _typed(fields: Mapping[str, Any]) -> Any:
    """Fields whose names commands have checked, for a function that names each."""
    return dict(fields)
