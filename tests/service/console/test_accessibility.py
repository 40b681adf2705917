"""The console leaves nobody out: by axe's rules, at a phone's width, and at 200 % zoom."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.service.console.conftest import Open
from tests.service.console.test_search import PROBE, enroll
from tests.service.fakes import Running

pytestmark = pytest.mark.browser

SERIOUS = ("serious", "critical")


def found(page: Page) -> list[str]:
    """What axe finds serious, with the elements."""
    results = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in results
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    """Whether the page has to be moved sideways to be read."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_axe_finds_nothing_serious_in_an_answer(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, color_scheme="dark")
    page.set_input_files("#probe-file", PROBE)
    expect(page.locator(".card")).to_have_count(4)
    assert found(page) == []
    page.emulate_media(color_scheme="light")
    assert found(page) == []
    page.get_by_role("button", name="Time line").click()
    assert found(page) == []
    page.locator(".face").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert found(page) == []
    page.emulate_media(color_scheme="dark")
    assert found(page) == []


def test_axe_finds_nothing_serious_at_the_start_and_does_find_what_is_wrong(console: Page) -> None:
    expect(console.locator("#probe-file")).to_be_attached()
    assert found(console) == []
    console.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert any(line.startswith("button-name") for line in found(console))


def test_a_narrow_page_is_read_downwards_alone(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url)
    page.set_input_files("#probe-file", PROBE)
    expect(page.locator(".card")).to_have_count(4)
    # A phone's, and what 200 % zoom makes of a screen of 1280 px.
    for width, height in ((360, 740), (640, 400)):
        page.set_viewport_size({"width": width, "height": height})
        for shown in ("By vehicle", "Time line", "Ranking"):
            page.get_by_role("button", name=shown).click()
            assert not is_too_wide(page), (width, shown)
        page.locator(".card .face").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert not is_too_wide(page), width
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
