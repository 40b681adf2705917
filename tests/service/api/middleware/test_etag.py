"""What a caller has already is answered by 304; what has changed since, by its new bytes and tag."""

from __future__ import annotations

import httpx
import pytest

from tests.service.api.test_problems import check
from tests.service.fakes import BLUE, RED, Running, image_file


@pytest.mark.parametrize("path", ["/gallery/cam/a", "/v1/gallery/cam/a/image"])
def test_what_is_known_is_not_sent_again_until_it_changes(service: Running, path: str) -> None:
    service.enroll(image_file(RED), image_id="cam/a", view="front")
    first = service.client.get(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-store"
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = service.client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert "Content-Type" not in again.headers
        assert "Content-Length" not in again.headers
    head = service.client.head(path, headers={"If-None-Match": '"other"'})
    assert (head.status_code, head.headers["ETag"]) == (200, tag)
    assert head.headers["Content-Length"] == str(len(first.content))
    assert service.client.head(path, headers={"If-None-Match": tag}).status_code == 304
    service.client.delete("/gallery/cam/a")
    assert service.client.get(path, headers={"If-None-Match": tag}).status_code == 404
    service.enroll(image_file(BLUE), image_id="cam/a")
    changed = service.client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_an_amended_record_has_another_tag_and_its_image_the_same(service: Running) -> None:
    service.enroll(image_id="a")
    record, image = (service.client.get(path).headers["ETag"] for path in ("/gallery/a", "/gallery/a/image"))
    service.client.patch("/gallery/a", files={"view": (None, "rear")})
    assert service.client.get("/gallery/a", headers={"If-None-Match": record}).json()["view"] == "rear"
    assert service.client.get("/gallery/a/image", headers={"If-None-Match": image}).status_code == 304


def test_the_description_and_the_console_have_tags_and_errors_and_lists_have_none(
    shared_service: Running,
) -> None:
    for path in ("/openapi.json", "/", "/console/app.js"):
        tag = shared_service.client.get(path).headers["ETag"]
        assert shared_service.client.get(path, headers={"If-None-Match": tag}).status_code == 304
    for path in ("/gallery", "/gallery/no-such", "/health/live", "/status"):
        assert "ETag" not in shared_service.client.get(path, headers={"If-None-Match": "*"}).headers


def test_a_change_of_what_somebody_else_has_changed_is_refused(service: Running) -> None:
    service.enroll(image_id="a", view="front")
    read = service.client.get("/gallery/a").headers["ETag"]

    def change(view: str, if_match: str) -> httpx.Response:
        form = {"view": (None, view)}
        return service.client.patch("/gallery/a", files=form, headers={"If-Match": if_match})

    done = change("rear", f'"other", {read}')
    assert done.json()["view"] == "rear"
    assert done.headers["ETag"] == service.client.get("/gallery/a").headers["ETag"] != read
    for stale in (read, '"other"', f"W/{done.headers['ETag']}", ""):
        check(change("left", stale), 412, "image-changed")
    assert service.client.get("/gallery/a").json()["view"] == "rear"
    assert change("left", "*").json()["view"] == "left"
    unknown = service.client.patch("/gallery/b", files={"view": (None, "x")}, headers={"If-Match": "*"})
    check(unknown, 404, "unknown-image")
