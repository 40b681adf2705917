"""Who may use the console: a key for this session alone; and what it says when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from tests.service.access.holders import Guarded, guarded, make_key
from tests.service.console.conftest import Open, signed_in
from tests.service.fakes import RED, image_file, running

pytestmark = pytest.mark.browser

PROBE: FilePayload = {"name": "probe.png", "mimeType": "image/png", "buffer": image_file(RED)}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """For tests that add to it at most."""
    with guarded(tmp_path_factory.mktemp("keyed"), detector="off") as it:
        it.service.client.headers.update(it.headers("enroll"))
        it.service.enroll(image_file(RED), image_id="a")
        yield it


def test_a_key_is_asked_for_kept_for_the_session_and_shown_to_every_route(
    keyed: Guarded, open_console: Open
) -> None:
    page = open_console(keyed.service.url)
    with signed_in(page, keyed.secrets["query"]):
        page.set_input_files("#probe-file", PROBE)
        expect(page.locator(".card img")).to_have_js_property("naturalWidth", 32)
    assert page.evaluate("Object.values(sessionStorage)") == [keyed.secrets["query"]]
    assert keyed.secrets["query"] not in str(page.evaluate("Object.values(localStorage)"))
    page.reload()
    expect(page.locator("#probe-file")).to_be_attached()
    page.get_by_role("button", name="API key").click()
    expect(page.get_by_role("dialog")).to_contain_text("the query one (query)")
    page.get_by_role("button", name="Forget this key").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_refused_key_is_said_and_another_is_asked_for(keyed: Guarded, open_console: Open) -> None:
    page = open_console(keyed.service.url)
    with signed_in(page, "lka_00000000_" + "x" * 43):
        expect(page.get_by_role("alert").filter(has_text="The API key is not known")).to_be_visible()
    with signed_in(page, keyed.secrets["admin"]):
        expect(page.locator("#probe-file")).to_be_attached()


def test_a_key_that_is_revoked_meanwhile_is_asked_for_anew(keyed: Guarded, open_console: Open) -> None:
    secret = make_key(keyed.file, "query")
    page = open_console(keyed.service.url)
    with signed_in(page, secret):
        expect(page.locator("#probe-file")).to_be_attached()
    keyed.file.revoke(secret.split("_")[1])
    page.set_input_files("#probe-file", PROBE)
    expect(page.get_by_role("dialog")).to_contain_text("was revoked")


def test_what_a_key_may_not_do_is_not_shown(keyed: Guarded, open_console: Open) -> None:
    page = open_console(keyed.service.url)
    for scope, views in (
        ("query", ["Search", "Status"]),
        ("enroll", ["Gallery", "Cameras", "Status"]),
        ("admin", ["Search", "Gallery", "Watches", "Cameras", "Status"]),
    ):
        with signed_in(page, keyed.secrets[scope]):
            expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(views)
        page.evaluate("sessionStorage.clear()")
        page.goto(keyed.service.url)


def test_who_may_not_watch_is_not_offered_it(keyed: Guarded, open_console: Open) -> None:
    for scope, offered in (("query", 0), ("admin", 2)):  # of the match, and of the probe
        page = open_console(keyed.service.url)
        with signed_in(page, keyed.secrets[scope]):
            page.set_input_files("#probe-file", PROBE)
            expect(page.locator(".card")).to_have_count(1)
        expect(page.get_by_role("button", name="Watch for this vehicle")).to_have_count(offered)


def test_a_lost_service_is_said_and_its_return_too(tmp_path: Path, open_console: Open) -> None:
    with running(tmp_path, detector="off") as service:
        service.enroll(image_file(RED), image_id="a")
        page = open_console(service.url)
        expect(page.locator("#readiness")).to_contain_text("Ready: 1 image")
        port = int(service.url.rpartition(":")[2])
    page.set_input_files("#probe-file", PROBE)
    expect(page.locator("#banner")).to_contain_text("The service does not answer")
    expect(page.locator("#result").get_by_role("alert")).to_contain_text("No answer")
    with running(tmp_path, detector="off", at=port):
        expect(page.locator("#banner")).to_be_empty()
        page.get_by_role("button", name="Search again").click()
        expect(page.locator(".card")).to_have_count(1)
