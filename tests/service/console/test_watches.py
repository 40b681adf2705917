"""A match or a probe is watched for in the console; the alert is shown while another part is looked at."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from service.watching import listeners
from tests.service.console.conftest import Open
from tests.service.console.test_accessibility import found
from tests.service.console.test_search import PROBE, enroll
from tests.service.fakes import RED, Running, image_file

pytestmark = pytest.mark.browser


def test_a_match_is_watched_for_and_its_alert_comes_by_itself(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url)
    page.set_input_files("#probe-file", PROBE)
    page.locator(".card").first.get_by_role("button", name="Watch for this vehicle").click()
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


def test_the_probe_is_watched_for_until_it_is_enrolled_elsewhere(
    service: Running, open_console: Open
) -> None:
    enroll(service)
    page = open_console(service.url)
    page.set_input_files("#probe-file", PROBE)
    tools = page.locator(".probe-tools")
    tools.get_by_role("button", name="Watch for this vehicle").click()
    asked = page.get_by_role("dialog", name="Watch for probe.png")
    expect(asked.locator("img")).to_have_js_property("naturalWidth", 32)
    asked.get_by_label("Threshold").fill("0.99")
    asked.get_by_label("Cameras").fill("yard, ")
    assert found(page) == []
    asked.get_by_role("button", name="Watch", exact=True).click()
    expect(asked).to_have_count(0)
    [watch] = service.gallery.watches.all()
    assert (watch.image_id, watch.threshold, watch.cameras) == (None, 0.99, frozenset({"yard"}))

    assert service.enroll(image_file(RED), image_id="seen.png", camera_id="yard").status_code == 201
    expect(page.locator("#to-watches .badge")).to_have_text("1 new")
    page.locator("#to-watches").click()
    expect(page.get_by_role("row", name="a file").locator("img")).to_have_js_property("naturalWidth", 32)

    page.locator(".alert-row .face").click()
    expect(page.locator("#probe-name")).to_have_text("seen.png")
    tools.get_by_role("button", name="Watch for this vehicle").click()
    asked = page.get_by_role("dialog", name="Watch for seen.png")
    asked.get_by_label("Threshold").fill("0.9")
    asked.get_by_role("button", name="Watch", exact=True).click()
    expect(asked).to_have_count(0)
    assert service.gallery.watches.all()[-1].image_id == "seen.png"


def test_why_alerts_do_not_come_by_themselves_is_said(
    service: Running, open_console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_OF_ONE", 0)
    page = open_console(service.url, "watches")
    page.clock.install()
    alert = page.locator(".view-watches").get_by_role("alert")
    expect(alert).to_contain_text("listens for alerts 0 times already")
    monkeypatch.setattr(listeners, "MOST_OF_ONE", 1)
    page.clock.fast_forward(5000)  # it asks again by itself
    expect(alert).to_have_count(0)
