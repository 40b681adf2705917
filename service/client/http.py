"""A client of a running service, for the command line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ATTEMPTS = 6
LATER = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)


class ServiceUnreachableError(Exception):
    """Nothing answers at the URL."""


class RefusedError(Exception):
    """The service answered with a problem; the message is its detail, field by field where it has fields.

    Attributes:
        status: HTTP status code.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ServiceClient:
    """Talks to one service; its methods may be called from several threads.

    Every method raises ServiceUnreachableError or RefusedError.

    Args:
        url: such as `http://127.0.0.1:8000`.
        key: API key, where the service has keys.
        timeout_s: s for one answer.
    """

    def __init__(self, url: str, key: str | None = None, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        try:
            # As bytes: what is no key is then refused by the service, which says so.
            headers = {} if key is None else {b"Authorization": b"Bearer " + key.strip().encode()}
            self._http = httpx.Client(base_url=self.url, timeout=timeout_s, headers=headers)
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceUnreachableError(f"{url!r} is no URL: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ready(self) -> dict[str, Any]:
        """What `GET /health/ready` says."""
        return self._answer(self._send("GET", "/health/ready"))

    def enroll(self, image: Path, fields: Mapping[str, str | list[str]]) -> bool:
        """Enroll an image file; False where its image id is enrolled already.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            self._post("/gallery", image, fields)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT:
                return False
            raise
        return True

    def query(self, image: Path, *, top_k: int, rerank: bool) -> dict[str, Any]:
        """What `POST /query` answers to an image file.

        Raises:
            OSError: the file cannot be read.
        """
        return self._post("/query", image, {"top_k": str(top_k), "rerank": str(rerank).lower()})

    def _post(self, path: str, image: Path, fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
        data = image.read_bytes()
        for attempt in range(1, ATTEMPTS + 1):
            response = self._send("POST", path, data=dict(fields), files={"image": (image.name, data)})
            if response.status_code not in LATER or attempt == ATTEMPTS:
                break
            time.sleep(float(response.headers.get("Retry-After", 1)))
        return self._answer(response)

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ServiceUnreachableError(
                f"no service answers at {self.url} ({reason}); "
                "start one with `lka-reid serve`, or name it with --url"
            ) from None

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            answer = {}
        if response.is_success and answer:
            return answer
        if "detail" not in answer:
            message = f"{self.url} answered {response.status_code}, but not as this service does"
            raise RefusedError(response.status_code, message)
        raise RefusedError(response.status_code, _told(answer))


def _told(problem: Mapping[str, Any]) -> str:
    faults = [f"{fault['field']} {fault['message']}" for fault in problem.get("errors", [])]
    detail = str(problem["detail"])
    # What is wrong with an image's bytes is said by the detail already.
    return detail if not faults or problem["errors"][0]["message"] == detail else "; ".join(faults)
