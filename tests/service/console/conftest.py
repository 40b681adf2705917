"""A browser for the tests of the console, and the console in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from index import ALL, DEFAULT
from tests.service.fakes import Running, running

CHROMIUM = shutil.which("chromium")
WAIT_MS = 30_000
EXPECTED = ("the server responded with a status of", "net::ERR_CONNECTION_REFUSED")
"""What Chromium says of an answer that is no success, and of no answer; tests look for these themselves."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium for one module: Playwright keeps an event loop, beside which no other test's can run."""
    if CHROMIUM is None:
        pytest.skip("the console is not tested in a browser: chromium is not installed")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture
def open_console(browser: Browser) -> Iterator[Open]:
    """Open the console of a service: `open_console(url, "gallery", color_scheme="dark")`.

    At the end, a script's error or a breach of the content-security policy fails the test.
    """
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(known in message.text for known in EXPECTED):
            complaints.append(message.text)

    with ExitStack() as undo:

        def open_one(url: str, view: str = "", **options: Any) -> Page:
            context = browser.new_context(**options)
            undo.callback(context.close)
            context.set_default_timeout(WAIT_MS)
            page = context.new_page()
            page.on("console", complain)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{url}/#{view}")
            return page

        yield open_one
    assert complaints == []


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of one module, which takes every file for a crop."""
    with running(tmp_path_factory.mktemp("console"), detector="off") as it:
        yield it


@pytest.fixture
def service(shared_service: Running) -> Running:
    """The module's service with nothing in it: one for each test would take a third of their time."""
    client, gallery = shared_service.client, shared_service.gallery
    for one in client.get("/collections").json()["collections"]:
        if one["name"] != DEFAULT:
            assert client.delete(f"/collections/{one['name']}").status_code == 204
    for watch in gallery.watches.all():
        gallery.watches.remove(watch.id)
    gallery.delete_where(ALL)
    assert (gallery.count(), client.get("/verdicts").json()["verdicts"]) == (0, [])
    return shared_service


@contextmanager
def signed_in(page: Page, secret: str) -> Iterator[Page]:
    """The console after this key was given."""
    # The button that opens this dialog has the same label, and is there before it.
    page.get_by_role("dialog").locator("input").fill(secret)
    page.get_by_role("button", name="Go on").click()
    yield page


@pytest.fixture
def console(service: Running, open_console: Open) -> Page:
    """The console of a service with nothing in it."""
    return open_console(service.url)
