"""A gallery is filled, looked through and thinned out in the console; cameras and status are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.service.console.conftest import Open
from tests.service.console.test_accessibility import found, is_too_wide
from tests.service.console.test_search import enroll
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

pytestmark = pytest.mark.browser


def image(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def test_many_files_are_enrolled_and_each_that_was_not_says_why(service: Running, open_console: Open) -> None:
    page = open_console(service.url, "gallery")
    panel = page.get_by_role("region", name="Enroll")
    panel.get_by_label("Camera", exact=True).fill("gate 3")
    panel.get_by_label("Tags").fill("night, wet,")
    files = [image("a.png", image_file(RED)), image("b.png", image_file(GREEN)), image("c.txt", b"no image")]
    page.set_input_files("#enroll-files", files)
    expect(panel.locator(".enroll-report p")).to_have_text("2 images enrolled, 1 not enrolled")
    expect(panel.locator(".failures li")).to_contain_text("c.txt")
    expect(page.locator(".tile")).to_have_count(2)
    record = service.client.get("/gallery/a.png").json()
    assert (record["camera_id"], record["tags"]) == ("gate 3", ["night", "wet"])
    expect(page.locator("#readiness")).to_contain_text("Ready: 2 images")

    page.set_input_files("#enroll-files", [files[0], image("b.png", image_file(BLUE))])
    expect(panel.locator(".enroll-report p")).to_have_text(
        "0 images enrolled, 1 enrolled already, 1 not enrolled"
    )
    expect(panel.locator(".failures li")).to_contain_text("another image")


def test_a_folder_is_enrolled_by_its_paths(service: Running, open_console: Open, tmp_path: Path) -> None:
    folder = tmp_path / "cam3"
    (folder / "day 1").mkdir(parents=True)
    (folder / "day 1" / "a.png").write_bytes(image_file(RED))
    (folder / "b.png").write_bytes(image_file(GREEN))
    page = open_console(service.url, "gallery")
    page.set_input_files("#enroll-folder", folder)
    expect(page.locator(".tile")).to_have_count(2)
    ids = {record["image_id"] for record in service.client.get("/gallery").json()["records"]}
    assert ids == {"cam3/day 1/a.png", "cam3/b.png"}


def test_images_are_deleted_after_their_number_was_said(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    for image_id in ("blue.png", "gate/green.png"):
        page.get_by_label(f"Select {image_id}").check()
    page.get_by_role("button", name="Delete 2").click()
    asked = page.get_by_role("dialog", name="Delete 2 images?")
    asked.get_by_role("button", name="Cancel").click()
    assert service.gallery.count() == 4
    page.get_by_role("button", name="Delete 2").click()
    asked.get_by_role("button", name="Delete 2 images").click()
    expect(page.locator(".tile")).to_have_count(2)
    assert service.gallery.count() == 2
    expect(page.locator(".listing .selection")).to_be_hidden()


def test_a_record_is_looked_at_searched_with_and_deleted(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    page.locator(".tile .face").first.click()
    record = page.get_by_role("dialog", name="gate/red 1.png")
    expect(record.locator("img")).to_have_js_property("naturalWidth", 32)
    expect(record).to_contain_text("gate")
    record.get_by_role("button", name="Search with this one").click()
    expect(page.locator(".view-search .card .face").first).to_have_attribute(
        "data-image-id", "gate/red 1.png"
    )
    page.get_by_role("link", name="Gallery").click()
    page.locator(".tile .face").first.click()
    record.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete gate/red 1.png?").get_by_role("button", name="Delete 1").click()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_what_is_known_of_an_image_is_changed_and_taken_away(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    page.locator(".tile .face").first.click()
    record = page.get_by_role("dialog", name="gate/red 1.png")
    record.get_by_role("button", name="Edit").click()
    record.get_by_label("Time").fill("yesterday")
    record.get_by_role("button", name="Save").click()
    expect(record.get_by_role("alert")).to_contain_text("captured_at")
    record.get_by_label("Time").fill("2026-05-06T07:08:09Z")
    record.get_by_label("Vehicle").fill("")
    record.get_by_label("Tags").fill("night, wet")
    record.get_by_role("button", name="Save").click()
    expect(record).to_contain_text("night, wet")
    now = service.client.get("/gallery/gate/red 1.png").json()
    assert (now["vehicle_id"], now["camera_id"], now["tags"]) == (None, "gate", ["night", "wet"])
    assert now["captured_at"] == "2026-05-06T07:08:09Z"


def test_all_that_pass_the_filters_are_deleted_after_the_service_counted_them(
    service: Running, open_console: Open
) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    remove = page.get_by_role("button", name="Delete all that pass")
    expect(page.locator(".tile")).to_have_count(4)
    expect(remove).to_be_hidden()
    page.locator(".listing-filters").get_by_label("Cameras").select_option("gate")
    remove.click()
    asked = page.get_by_role("dialog", name="Delete 2 images?")
    assert service.gallery.count() == 4
    asked.get_by_role("button", name="Delete 2 images").click()
    expect(page.locator(".listing .summary")).to_contain_text("No image passes the filters")
    left = {record["image_id"] for record in service.client.get("/gallery").json()["records"]}
    assert left == {"yard/red 2.png", "blue.png"}


def test_more_than_a_page_is_shown_as_one_goes_on(service: Running, open_console: Open) -> None:
    files = [("images", (f"{number:03}", image_file((number, 99, 9)))) for number in range(65)]
    assert service.client.post("/gallery/batch", files=files).status_code == 200
    page = open_console(service.url, "gallery")
    expect(page.locator(".listing .summary")).to_contain_text("60 images shown, there are more")
    page.get_by_role("button", name="Show more").scroll_into_view_if_needed()
    expect(page.locator(".tile")).to_have_count(65)
    expect(page.locator(".listing .summary")).to_contain_text("65 images shown")


def test_what_is_listed_and_searched_is_filtered(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    filters = page.locator(".view-gallery .listing-filters")
    filters.get_by_label("Cameras").select_option("gate")
    expect(page.locator(".tile")).to_have_count(2)
    filters.get_by_label("From").fill("2026-03-01T08:30")
    filters.get_by_label("From").blur()
    expect(page.locator(".tile")).to_have_count(1)
    filters.get_by_role("button", name="Clear").click()
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_role("link", name="Search").click()
    page.locator(".view-search .filters summary", has_text="Filters").click()
    page.locator(".view-search").get_by_label("Cameras").select_option("yard")
    page.set_input_files("#probe-file", image("p.png", image_file(RED)))
    expect(page.locator(".view-search .card .face")).to_have_count(1)
    expect(page.locator(".view-search .card .face")).to_have_attribute("data-image-id", "yard/red 2.png")


def test_cameras_and_what_normalising_does_are_seen(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "cameras")
    row = page.get_by_role("row", name="gate")
    expect(row).to_contain_text("2")
    row.get_by_role("button", name="Measure the effect on gate").click()
    expect(row).to_contain_text("too few images")


def test_the_status_says_how_the_service_fares_and_what_failed(tmp_path: Path, open_console: Open) -> None:
    with running(tmp_path, detector="off") as service:  # nothing failed in it before
        service.enroll(image_id="a")
        service.query(b"no image")
        page = open_console(service.url, "status")
        look_at_status(page)


def look_at_status(page: Page) -> None:
    status = page.locator(".view-status")
    expect(status.get_by_role("region", name="Ready", exact=True)).to_contain_text("fake")
    expect(status.get_by_role("region", name="Gallery", exact=True)).to_contain_text("1 image")
    expect(status.get_by_role("region", name="Queue and workers", exact=True)).to_contain_text("0 of 256")
    expect(status.get_by_role("row", name="embedding")).to_contain_text("1")
    errors = status.get_by_role("region", name="Last errors", exact=True)
    expect(errors.get_by_role("row", name="422 The image cannot be used")).to_contain_text("POST /query")
    expect(errors).to_contain_text("The bytes are no image")


def test_each_view_is_read_by_everybody(service: Running, open_console: Open) -> None:
    enroll(service)
    service.query(b"no image")
    page = open_console(service.url, viewport={"width": 360, "height": 740}, color_scheme="dark")
    for view in ("gallery", "cameras", "status"):
        page.locator(f"#to-{view}").click()
        expect(page.locator(f".view-{view} .loaded")).to_be_attached()
        assert found(page) == [], view
        assert not is_too_wide(page), view


def test_collections_are_made_looked_at_apart_and_dropped(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url, "gallery")
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.get_by_label("Collection", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Collections").click()
    shown = page.get_by_role("dialog", name="Collections")
    shown.get_by_label("Name").fill("No Name")
    shown.get_by_role("button", name="Make").click()
    expect(shown.get_by_role("alert")).to_contain_text("name")
    shown.get_by_label("Name").fill("north")
    shown.get_by_role("button", name="Make").click()
    expect(shown.get_by_role("row", name="north")).to_contain_text("0")
    shown.get_by_role("button", name="Close").click()
    page.get_by_label("Collection", exact=True).select_option("north")
    expect(page.locator(".tile")).to_have_count(0)
    page.set_input_files("#enroll-files", [image("n.png", image_file(RED))])
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".tile img")).to_have_js_property("naturalWidth", 32)
    assert service.client.get("/gallery/n.png", params={"collection": "north"}).status_code == 200
    page.get_by_role("link", name="Search").click()
    page.set_input_files("#probe-file", image("p.png", image_file(RED)))
    expect(page.locator(".view-search .card")).to_have_count(1)
    page.get_by_role("button", name="Collections").click()
    shown.get_by_role("button", name="Drop north").click()
    page.get_by_role("dialog", name="Drop north?").get_by_role("button", name="Drop 1 image").click()
    expect(shown.get_by_role("row", name="north")).to_have_count(0)
    shown.get_by_role("button", name="Close").click()
    expect(page.locator(".view-search .card")).to_have_count(4)
