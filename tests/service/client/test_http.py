"""The command line's client: what it makes of answers, and of none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.client import http as client_module
from service.client.http import RefusedError, ServiceClient, ServiceUnreachableError
from tests.service.command_line import free_port
from tests.service.fakes import Running, picture


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "car.png"
    path.write_bytes(picture())
    return path


def test_it_enrolls_once_and_queries(service: Running, image: Path) -> None:
    with ServiceClient(service.url + "/") as client:
        assert client.ready()["status"] == "ready"
        assert client.enroll(image, {"image_id": "a", "tags": ["x", "y"]}) is True
        assert client.enroll(image, {"image_id": "a"}) is False
        assert client.query(image, top_k=3, rerank=False)["reranked"] is False
    assert service.gallery.get("a").tags == ("x", "y")


def test_a_refusal_names_the_fields(service: Running, image: Path) -> None:
    with (
        ServiceClient(service.url) as client,
        pytest.raises(RefusedError, match=r"image_id is not a legal .*") as caught,
    ):
        client.enroll(image, {"image_id": "/"})
    assert caught.value.status == 422


def test_nobody_there_is_told_with_the_remedy(image: Path) -> None:
    with (
        ServiceClient(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(ServiceUnreachableError, match="lka-reid serve"),
    ):
        client.query(image, top_k=1, rerank=True)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://[", "ftp://x"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(ServiceUnreachableError), ServiceClient(url) as client:
        client.ready()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[httpx.Response]], ServiceClient]]:
    """A client whose service gives these answers one after the other."""
    made: list[ServiceClient] = []
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)

    def make(answers: list[httpx.Response]) -> ServiceClient:
        client = ServiceClient("http://x")
        left = iter(answers)
        client._http = httpx.Client(
            base_url="http://x", transport=httpx.MockTransport(lambda _request: next(left))
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client._http.close()


Answering = Callable[[list[httpx.Response]], ServiceClient]


def test_it_comes_back_when_the_service_is_at_its_limit(answering: Answering, image: Path) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "3"}, json={"detail": "full"})
    assert answering([busy, busy, httpx.Response(201, json={"image_id": "a"})]).enroll(image, {}) is True


def test_it_gives_up_in_the_end(answering: Answering, image: Path) -> None:
    busy = httpx.Response(503, json={"detail": "full"})
    with pytest.raises(RefusedError, match="full"):
        answering([busy] * client_module.ATTEMPTS).enroll(image, {})


def test_another_kind_of_service_is_recognised(answering: Answering) -> None:
    with pytest.raises(RefusedError, match="not as this service does"):
        answering([httpx.Response(200, text="<html>")]).ready()
