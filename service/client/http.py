"""A client of a running service, for the command line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from service.client.answer import MAX_MESSAGE, Answer, Problem, are_vehicles
from service.client.connection import connect, without_password
from service.client.errors import (
    AbandonedError,
    ClientError,
    RefusedError,
    ServiceUnreachableError,
    unreachable,
)
from service.client.retry import PATIENCE_S, asked_wait_s, wait_s

LATER = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may succeed."""

MAX_ANSWER = 16 * 1024 * 1024
LARGEST_PAGE = 1000
ABOUT_NONE = ("/health", "/collections", "/detect")
"""What is about no collection, or names it in its path."""
MATCH_KEYS = frozenset(
    ("rank", "first_stage_rank", "image_id", "vehicle_id", "camera_id", "similarity", "rerank_distance")
)

UNKNOWN_IMAGE = "unknown-image"
REMEDIES = {
    "key-required": "; give a command one by LKA_REID_KEY or --key",
    "collection-out-of-reach": "; name one that it reaches by --collection",
}
"""What a command adds to the words of a problem, by its kind: they are said of HTTP."""
QUERY_KEYS = ("matches", "reranked", "gallery_size", "timings_ms")

FilterFields = Mapping[str, str | list[str]]
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
    """Talks to one service; its methods may be called from several threads.

    Every method raises ServiceUnreachableError or RefusedError. An upload that is answered by one of LATER is
    sent again, for PATIENCE_S at most.

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
        self._timeout_s = timeout_s
        self.collection = collection
        self._collection = {} if collection is None else {"collection": collection}
        self._on_wait = on_wait
        self._abandoned = threading.Event()
        self.url = without_password(url)
        self._http = connect(url, key, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def abandon(self) -> None:
        """End all waits, in whatever thread, by AbandonedError; what is being answered is not disturbed."""
        self._abandoned.set()

    @property
    def is_abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self._abandoned.is_set()

    def ready(self) -> dict[str, Any]:
        """What `GET /health/ready` says."""
        return self._document(self._send("GET", "/health/ready"), "status")

    def await_ready(self) -> dict[str, Any]:
        """What `GET /health/ready` says once the service is ready, for which it has PATIENCE_S.

        Raises:
            AbandonedError: see `abandon`.
        """
        answer = self._persist(lambda: self._send("GET", "/health/ready"), unanswered=False)
        return self._document(answer, "status")

    def enroll(self, image: Path, fields: Mapping[str, str | list[str]]) -> Enrolled:
        """Enroll an image file. Without an answer it is sent again, too: under the same id that is safe.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        try:
            self._post("/gallery", image, fields, ("image_id",), unanswered=True)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT:
                return Enrolled(new=False, differs=error.differs)
            raise
        return Enrolled(new=True)

    def records(
        self, where: FilterFields | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """The records that a filter lets through, in order of enrollment, at most `limit`; page by page."""
        after: dict[str, str] = {}
        left = limit
        while left is None or left > 0:
            size = LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)
            parameters = {**(where or {}), **after, "limit": str(size)}
            page = self._document(self._send("GET", "/gallery", params=parameters), "records", "next")
            yield from page["records"]
            if page["next"] is None:
                return
            after = {"after": str(page["next"])}
            left = None if left is None else left - len(page["records"])

    def enroll_many(
        self, images: Sequence[bytes], fields: Sequence[Mapping[str, str | list[str]]]
    ) -> list[Enrolled | RefusedError] | None:
        """Enroll image files by one request; what became of each. None where the service takes no batches.

        Without an answer it is sent again, too, as single images are.

        Raises:
            AbandonedError: see `abandon`.
        """
        files = [("images", ("image", image)) for image in images]
        data = {"items": json.dumps([dict(each) for each in fields])}
        answer = self._persist(
            lambda: self._send("POST", "/gallery/batch", data=data, files=files), unanswered=True
        )
        if answer.status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            return None
        items = self._document(answer, "items")["items"]
        if not isinstance(items, list) or len(items) != len(images):
            raise RefusedError(answer.status, self._not_ours(answer.status))
        return [self._item(item) for item in items]

    def _item(self, item: object) -> Enrolled | RefusedError:
        """What a batch's answer says of one image."""
        status = item.get("status") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(status, int):
            raise RefusedError(200, self._not_ours(200))
        if status < 300:
            return Enrolled(new=True)
        error = self._refusal(Answer(status, {}, json.dumps(item.get("problem")).encode()))
        if status == httpx.codes.CONFLICT:
            return Enrolled(new=False, differs=error.differs)
        return error

    def count(self, where: FilterFields) -> int:
        """How many images meet conditions, of which there is one at least."""
        parameters = {**where, "dry_run": "true"}
        return int(self._document(self._send("DELETE", "/gallery", params=parameters), "left")["left"])

    def delete_where(self, where: FilterFields) -> Iterator[tuple[int, int]]:
        """Delete all images that meet conditions; images deleted by each request, and those that are left."""
        while True:
            answer = self._persist(
                lambda: self._send("DELETE", "/gallery", params=dict(where)), unanswered=True
            )
            document = self._document(answer, "deleted", "left")
            yield int(document["deleted"]), int(document["left"])
            if not document["left"]:
                return

    def delete(self, image_id: str) -> bool:
        """Delete an image; whether there was one."""
        answer = self._send("DELETE", _image_path(image_id))
        if answer.status == httpx.codes.NO_CONTENT:
            return True
        refusal = self._refusal(answer)
        if refusal.kind != UNKNOWN_IMAGE:
            raise refusal
        return False

    def is_enrolled(self, image_id: str) -> bool:
        """Whether an image of this id is enrolled."""
        try:
            self.record(image_id)
        except RefusedError as error:
            if error.kind != UNKNOWN_IMAGE:
                raise
            return False
        return True

    def update(self, image_id: str, fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
        """What `PATCH /gallery/{image_id}` answers: the record with new values for fields; see there."""
        parts = [
            (name, (None, value))
            for name, values in fields.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        answer = self._persist(
            lambda: self._send("PATCH", _image_path(image_id), files=parts), unanswered=True
        )
        return self._document(answer, "image_id", "camera_id")

    def retention(self, days: int | None = None) -> dict[str, Any]:
        """What `GET /retention` says; with days, how many images are older than that."""
        parameters = {} if days is None else {"days": str(days)}
        return self._document(self._send("GET", "/retention", params=parameters), "days", "expired")

    def set_retention(self, days: int | None) -> dict[str, Any]:
        """Keep images for so many days, None for ever; what the service says then."""
        if days is None:
            return self._document(self._send("DELETE", "/retention"), "days", "expired")
        return self._document(self._send("PUT", "/retention", params={"days": str(days)}), "days", "expired")

    def collections(self) -> list[dict[str, Any]]:
        """What `GET /collections` lists."""
        return list(self._document(self._send("GET", "/collections"), "collections")["collections"])

    def create_collection(self, name: str, quota: Mapping[str, int]) -> dict[str, Any]:
        """Make a collection, with `max_images` and `max_bytes` where they are given; what is answered."""
        form = {"name": (None, name), **_quota_form(quota)}
        return self._document(self._send("POST", "/collections", files=form), "name")

    def set_quota(self, name: str, quota: Mapping[str, int]) -> dict[str, Any]:
        """Set a collection's quota; a limit that is not given is none. What is answered."""
        path = f"{_collection_path(name)}/quota"
        return self._document(self._send("PUT", path, files=_quota_form(quota)), "name")

    def drop_collection(self, name: str) -> None:
        """Drop a collection and all that is in it."""
        answer = self._send("DELETE", _collection_path(name))
        if answer.status != httpx.codes.NO_CONTENT:
            raise self._refusal(answer)

    def cameras(self) -> dict[str, Any]:
        """What `GET /cameras` says."""
        return self._document(self._send("GET", "/cameras"), "cameras", "normalisation")

    def camera(self, camera_id: str) -> dict[str, Any]:
        """What `GET /cameras/{camera_id}` says."""
        return self._document(self._send("GET", _camera_path(camera_id)), "camera_id", "effect")

    def calibrate(self, camera_id: str, image: Path) -> bool:
        """Show an image of a camera; whether it was counted, and not before. It may be sent again, too.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        path = f"{_camera_path(camera_id)}/calibration"
        return bool(self._post(path, image, {}, ("counted",), unanswered=True)["counted"])

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """All verdicts, page by page, as `GET /verdicts` has them."""
        after: int | None = None
        while True:
            query = "" if after is None else f"?after={after}"
            page = self._document(self._send("GET", f"/verdicts{query}"), "verdicts", "next")
            yield from page["verdicts"]
            if (after := page["next"]) is None:
                return

    def probe_image(self, probe: str) -> tuple[bytes, str]:
        """The file of a probe that has verdicts, and its media type."""
        return self._file(f"/verdicts/{probe}/image")

    def record(self, image_id: str) -> dict[str, Any]:
        """What `GET /gallery/{image_id}` says."""
        return self._document(self._send("GET", f"/gallery/{quote(image_id, safe='/')}"), "image_id")

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The file of an enrolled image, and its media type."""
        return self._file(f"/gallery/{quote(image_id, safe='/')}/image")

    def _file(self, path: str) -> tuple[bytes, str]:
        answer = self._send("GET", path)
        if answer.status != httpx.codes.OK:
            raise self._refusal(answer)
        return answer.content, answer.headers.get("content-type", "")

    def forget_calibration(self, camera_id: str) -> bool:
        """Forget a camera's calibration; whether there was one."""
        answer = self._send("DELETE", f"{_camera_path(camera_id)}/calibration")
        if answer.status not in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
            raise self._refusal(answer)
        return answer.status == httpx.codes.NO_CONTENT

    def detect(self, image: Path) -> dict[str, Any]:
        """What `POST /detect` answers to an image file.

        Raises:
            OSError: the file cannot be read.
            AbandonedError: see `abandon`.
        """
        answer = self._post("/detect", image, {}, ("width", "height", "vehicles"))
        if not are_vehicles(answer["vehicles"]):
            raise RefusedError(200, self._not_ours(200))
        return answer

    def query(
        self,
        image: Path,
        *,
        top_k: int,
        rerank: bool,
        camera_id: str | None = None,
        where: FilterFields | None = None,
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
        fields = _query_fields(top_k, rerank, camera_id, box, detect, verdicts) | dict(where or {})
        answer = self._post("/query", image, fields, QUERY_KEYS)
        if not _are_matches(answer["matches"]):
            raise RefusedError(200, self._not_ours(200))
        return answer

    def query_all(
        self,
        image: Path,
        *,
        top_k: int,
        rerank: bool,
        camera_id: str | None = None,
        where: FilterFields | None = None,
        verdicts: bool = True,
    ) -> dict[str, Any]:
        """What `POST /query` answers with `detect=all`: one answer a vehicle of a frame; see `query`."""
        fields = _query_fields(top_k, rerank, camera_id, None, "all", verdicts) | dict(where or {})
        answer = self._post("/query", image, fields, ("width", "height", "answers"))
        answers = answer["answers"]
        if not isinstance(answers, list) or not all(
            isinstance(one, dict) and one.keys() >= set(QUERY_KEYS) and _are_matches(one["matches"])
            for one in answers
        ):
            raise RefusedError(200, self._not_ours(200))
        return answer

    def _post(
        self,
        path: str,
        image: Path,
        fields: Mapping[str, str | list[str]],
        keys: tuple[str, ...],
        *,
        unanswered: bool = False,
    ) -> dict[str, Any]:
        # The service needs no name of the file, and not every name can be sent.
        files = {"image": ("image", image.read_bytes())}
        return self._document(
            self._persist(
                lambda: self._send("POST", path, data=dict(fields), files=files), unanswered=unanswered
            ),
            *keys,
        )

    def _persist(self, send: Callable[[], Answer], *, unanswered: bool) -> Answer:
        """Send again what is answered by "later" and, if wanted, what is not answered at all."""
        failure: ClientError
        waited, attempt, first = 0.0, 0, None
        while True:
            attempt += 1
            headers: Mapping[str, str] = {}
            try:
                answer = send()
                if answer.status not in LATER:
                    return answer
                headers, failure = answer.headers, self._refusal(answer)
            except ServiceUnreachableError as error:
                if not unanswered:
                    raise
                failure = error
            first = first or time.monotonic()
            wait = wait_s(headers, attempt)
            if max(waited, time.monotonic() - first) + wait > PATIENCE_S:
                raise _given_up(failure, headers)
            self._on_wait(wait, str(failure))
            if self._abandoned.wait(wait):
                raise AbandonedError
            waited += wait

    def _send(self, method: str, path: str, **body: Any) -> Answer:
        until = time.monotonic() + 2 * self._timeout_s
        content = bytearray()
        try:
            if not path.startswith(ABOUT_NONE):
                body["params"] = {**body.get("params", {}), **self._collection}
            with self._http.stream(method, path, **body) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER:
                        raise httpx.RemoteProtocolError(f"it is longer than {MAX_ANSWER:,} bytes")
                    if time.monotonic() > until:
                        raise httpx.ReadTimeout("")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, headers, bytes(content))
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            raise unreachable(self.url, error, self._timeout_s) from None

    def _document(self, answer: Answer, *keys: str) -> dict[str, Any]:
        document = answer.document()
        if 200 <= answer.status < 300 and all(key in document for key in keys):
            return document
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> RefusedError:
        problem = Problem.of(answer)
        if problem:
            own = (
                f"{problem.message}{REMEDIES.get(problem.kind, '')}"
                if problem.ours
                else f"{self.url} answered {answer.status}: {problem.message}"
            )
            return RefusedError(answer.status, own, problem.differs, problem.vehicles, problem.kind)
        if 300 <= answer.status < 400:
            target = answer.headers.get("location", "nowhere")[:MAX_MESSAGE]
            message = f"{self.url} sends on to {target}; if that is the service, name it with --url"
        else:
            message = self._not_ours(answer.status)
        return RefusedError(answer.status, message)

    def _not_ours(self, status: int) -> str:
        return f"{self.url} answered {status}, but not as this service does; see --url"


def _query_fields(
    top_k: int, rerank: bool, camera_id: str | None, box: str | None, detect: str | None, verdicts: bool
) -> dict[str, str | list[str]]:
    given = {"top_k": str(top_k), "rerank": str(rerank).lower(), "camera_id": camera_id}
    given |= {"box": box, "detect": detect, "verdicts": None if verdicts else "false"}
    return {name: value for name, value in given.items() if value is not None}


def _are_matches(matches: object) -> bool:
    return isinstance(matches, list) and all(
        isinstance(match, dict) and match.keys() >= MATCH_KEYS for match in matches
    )


def _image_path(image_id: str) -> str:
    return f"/gallery/{quote(image_id, safe='/')}"


def _collection_path(name: str) -> str:
    return f"/collections/{quote(name, safe='')}"


def _quota_form(quota: Mapping[str, int]) -> dict[str, tuple[None, str]]:
    """Parts of a multipart form; one that is empty counts as not given."""
    return {name: (None, str(quota.get(name, ""))) for name in ("max_images", "max_bytes")}


def _camera_path(camera_id: str) -> str:
    return f"/cameras/{quote(camera_id, safe='/')}"


def _given_up(failure: ClientError, headers: Mapping[str, str]) -> ClientError:
    asked = asked_wait_s(headers)
    more = f"; it asks to come back in {asked:,.0f} s" if asked and asked > PATIENCE_S else ""
    message = f"{failure} (given up after {PATIENCE_S:g} s{more})"
    if isinstance(failure, RefusedError):
        return RefusedError(failure.status, message)
    return ServiceUnreachableError(message)
