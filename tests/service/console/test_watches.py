"""A match is watched for in the console, and the alert is told while another part is looked at."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.service.console.conftest import Open
from tests.service.console.test_accessibility import found
from tests.service.console.test_search import PROBE, enroll
from tests.service.fakes import Running

pytestmark = pytest.mark.browser


def test_a_match_is_watched_for_and_its_alert_comes_by_itself(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url)
    page.set_input_files("#probe-file", PROBE)
    page.get_by_role("button", name="Watch for this vehicle").first.click()
    asked = page.get_by_role("dialog")
    asked.get_by_label("Name").fill("red van")
    asked.get_by_role("button", name="Watch", exact=True).click()
    expect(asked.get_by_role("alert")).to_contain_text("threshold is required")
    asked.get_by_label("Threshold").fill("0.99")
    asked.get_by_role("button", name="Watch", exact=True).click()
    expect(asked).to_have_count(0)

    watched = service.gallery.watches.all()[0].image_id
    assert watched is not None
    again = service.gallery.image(watched)[0]
    assert service.enroll(again, image_id="seen again.png", camera_id="yard").status_code == 201
    expect(page.locator("#to-watches .badge")).to_have_text("1 new")
    page.locator("#to-watches").click()
    expect(page.locator("#to-watches .badge")).to_have_count(0)
    expect(page.locator(".alert-row")).to_contain_text(["seen again.png"])
    assert service.enroll(again, image_id="and again.png").status_code == 201
    expect(page.locator(".alert-row")).to_have_count(2)
    expect(page.locator(".alert-row img").first).to_have_js_property("naturalWidth", 32)
    assert found(page) == []

    page.get_by_role("button", name="Remove red van").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".view-watches")).to_contain_text("Nothing is watched for")
    expect(page.locator(".alert-row")).to_have_count(0)
    assert service.gallery.watches.all() == []
