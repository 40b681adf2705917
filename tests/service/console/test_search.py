"""An investigator searches: from an image to its matches, one by one, beside the probe, and on paper."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.models.detection.scenes import file_of, scene
from tests.service.console.conftest import Open
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

pytestmark = pytest.mark.browser

PROBE: FilePayload = {"name": "probe.png", "mimeType": "image/png", "buffer": image_file(RED)}


def enroll(service: Running) -> None:
    """Three vehicles; the one of the probe before two cameras, one image without a time."""
    for image_id, colour, fields in (
        (
            "gate/red 1.png",
            RED,
            {"vehicle_id": "red", "camera_id": "gate", "captured_at": "2026-03-01T08:00:00Z"},
        ),
        ("yard/red 2.png", (200, 40, 40), {"vehicle_id": "red", "camera_id": "yard"}),
        (
            "gate/green.png",
            GREEN,
            {"vehicle_id": "green", "camera_id": "gate", "captured_at": "2026-03-01T09:00:00Z"},
        ),
        ("blue.png", BLUE, {"vehicle_id": '=2+2,"x"', "captured_at": "2026-03-01T10:00:00Z"}),
    ):
        assert service.enroll(image_file(colour), image_id=image_id, **fields).status_code == 201


@pytest.fixture
def answered(service: Running, open_console: Open) -> Page:
    """The console with an answer."""
    enroll(service)
    page = open_console(service.url)
    page.set_input_files("#probe-file", PROBE)
    expect(page.locator(".card")).to_have_count(4)
    return page


def ranking(page: Page) -> list[str | None]:
    return [face.get_attribute("data-image-id") for face in page.locator(".card .face").all()]


def test_a_chosen_image_is_answered_by_matches_with_their_images(answered: Page) -> None:
    assert ranking(answered)[:2] == ["gate/red 1.png", "yard/red 2.png"]
    first = answered.locator(".card").first
    expect(first).to_contain_text("1.000")
    expect(first).to_contain_text("gate")
    expect(first).to_contain_text("2026-03-01")
    expect(first.locator("img")).to_have_js_property("naturalWidth", 32)
    expect(answered.get_by_role("heading", name="4 matches")).to_be_visible()


def test_a_dropped_and_a_pasted_image_are_searched_with(service: Running, open_console: Open) -> None:
    enroll(service)
    page = open_console(service.url)
    expect(page.locator(".drop")).to_be_visible()
    for event, kind in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate(
            """([event, kind, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], `${event}.png`, {type: "image/png"}));
                const type = event === "paste" ? ClipboardEvent : DragEvent;
                const fired = new type(event, {[kind]: transfer, bubbles: true, cancelable: true});
                document.querySelector(".view-search").dispatchEvent(fired);
            }""",
            [event, kind, list(image_file(GREEN))],
        )
        expect(page.locator("#probe-name")).to_have_text(f"{event}.png")
        expect(page.locator(".card .face").first).to_have_attribute("data-image-id", "gate/green.png")


def test_what_is_asked_for_is_sent_and_the_second_stage_can_be_left_out(
    service: Running, answered: Page
) -> None:
    answered.get_by_label("Matches", exact=True).fill("2")
    answered.get_by_label("re-rank").uncheck()
    expect(answered.locator(".card")).to_have_count(2)
    expect(answered.locator(".answer-head")).to_contain_text("first stage only")
    assert service.models.reranker is not None
    calls = len(service.models.reranker.calls)
    answered.get_by_role("button", name="Search", exact=True).click()
    expect(answered.locator(".result[aria-busy]")).to_have_count(0)
    assert len(service.models.reranker.calls) == calls


def test_a_movement_of_the_second_stage_and_the_threshold_are_shown(
    service: Running, open_console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(service)
    assert service.models.reranker is not None
    monkeypatch.setattr(service.models.reranker, "answer", lambda distances: -distances)
    page = open_console(service.url)
    page.route(
        "**/query",
        lambda route: route.fulfill(response=route.fetch(), json=_with_threshold(route.fetch().json())),
    )
    page.set_input_files("#probe-file", PROBE)
    first = page.locator(".card").first
    expect(first.locator(".moved")).to_have_text("▲3")
    expect(first.locator(".threshold")).to_have_attribute("title", "threshold 0.750")
    expect(first.locator(".face")).to_have_attribute("aria-label", re.compile("below the threshold"))
    expect(page.locator(".card.above")).to_have_count(2)


def _with_threshold(answer: dict[str, object]) -> dict[str, object]:
    """What a calibrated bundle would answer; the fake one has no threshold."""
    matches = answer["matches"]
    assert isinstance(matches, list)
    for match in matches:
        match["is_match"] = match["similarity"] >= 0.75
    return answer | {"match_threshold": 0.75}


def test_matches_are_shown_by_vehicle_and_along_time(answered: Page) -> None:
    answered.get_by_role("button", name="By vehicle").click()
    group = answered.get_by_role("region", name="red", exact=True)
    expect(group.locator(".card")).to_have_count(2)
    expect(group).to_contain_text("2 images · 2 cameras")
    answered.get_by_role("button", name="Time line").click()
    lane = answered.get_by_role("list", name="Matches of gate, by time")
    expect(lane.get_by_role("button")).to_have_count(2)
    expect(answered.locator(".timeline .card")).to_have_count(1)
    assert answered.get_by_role("heading", name="Without a time").is_visible()


def test_the_keyboard_goes_from_match_to_match_and_opens_the_pair(answered: Page) -> None:
    answered.locator(".card .face").first.focus()
    answered.keyboard.press("ArrowRight")
    expect(answered.locator(".card .face").nth(1)).to_be_focused()
    answered.keyboard.press("x")
    expect(answered.locator(".card").nth(1).get_by_role("checkbox")).to_be_checked()
    answered.keyboard.press("Enter")
    pair = answered.get_by_role("dialog")
    expect(pair).to_contain_text("yard/red 2.png")
    expect(pair.locator(".why")).to_contain_text("no")
    answered.keyboard.press("ArrowRight")
    expect(pair).to_contain_text("Match 3")
    answered.keyboard.press("Escape")
    expect(pair).to_have_count(0)
    expect(answered.locator(".card .face").nth(2)).to_be_focused()


def test_selected_matches_are_tagged_and_deleted(service: Running, answered: Page) -> None:
    for number in (0, 1):
        answered.locator(".card .pick").nth(number).check()
    chosen = answered.locator(".answer .selection")
    chosen.get_by_role("button", name="Tag").click()
    answered.get_by_label("Tags to add").fill("case 7, seen")
    answered.get_by_role("button", name="Add", exact=True).click()
    expect(answered.get_by_role("dialog")).to_have_count(0)
    for image_id in ("gate/red 1.png", "yard/red 2.png"):
        assert service.client.get(f"/gallery/{image_id}").json()["tags"] == ["case 7", "seen"]
    chosen.get_by_role("button", name="Delete").click()
    answered.get_by_role("dialog", name="Delete 2 images?").get_by_role("button", name="Delete 2").click()
    expect(answered.locator(".card")).to_have_count(2)
    assert service.gallery.count() == 2


def test_a_match_becomes_the_probe(answered: Page) -> None:
    third = ranking(answered)[2] or ""
    answered.locator(".card").nth(2).get_by_role("button", name="Search with this one").click()
    expect(answered.locator("#probe-name")).to_have_text(third.split("/")[-1])
    expect(answered.locator(".card .face").first).to_have_attribute("data-image-id", third)


def test_an_answer_is_saved_as_a_table_that_no_program_computes(answered: Page) -> None:
    with answered.expect_download() as saving:
        answered.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(saving.value.path()).read_text(encoding="utf-8"))))
    assert [row["image_id"] for row in rows] == ranking(answered)
    assert rows[0]["probe"] == "probe.png"
    assert float(rows[0]["similarity"]) == pytest.approx(1, abs=1e-5)
    [blue] = [row for row in rows if row["image_id"] == "blue.png"]
    assert blue["vehicle_id"] == '\'=2+2,"x"'


def test_the_page_to_print_has_the_probe_and_every_image(answered: Page) -> None:
    answered.get_by_role("button", name="Report").click()
    report = answered.get_by_role("article", name="Report")
    expect(report.get_by_role("button", name="Print")).to_be_enabled()
    expect(report.locator("header dl")).to_contain_text("4 images")
    sizes = report.locator("img").evaluate_all("images => images.map((image) => image.naturalWidth)")
    assert sizes == [32] * 5
    assert len(answered.pdf()) > 10_000
    report.get_by_role("button", name="Back to the answer").click()
    expect(answered.locator(".card").first).to_be_visible()


def test_a_file_that_is_no_image_is_answered_in_the_services_words(console: Page) -> None:
    console.set_input_files(
        "#probe-file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"not an image at all"}
    )
    alert = console.get_by_role("alert").filter(has_text="The image cannot be used")
    expect(alert).to_contain_text("Request")
    expect(alert.get_by_role("button", name="Search again")).to_be_visible()


def test_an_empty_gallery_says_so(console: Page) -> None:
    console.set_input_files("#probe-file", PROBE)
    expect(console.locator("#result")).to_contain_text("The gallery is empty")


def test_a_verdict_is_kept_by_mouse_and_by_keyboard_respected_and_undone(
    service: Running, answered: Page
) -> None:
    first = answered.locator(".card").first
    first.get_by_role("button", name="Not the same").click()
    expect(first).to_have_attribute("data-verdict", "different")
    answered.locator(".card .face").nth(1).focus()
    answered.keyboard.press("s")
    expect(answered.locator(".card").nth(1)).to_have_attribute("data-verdict", "same")
    kept = {one["image_id"]: one["verdict"] for one in service.client.get("/verdicts").json()["verdicts"]}
    assert kept == {"gate/red 1.png": "different", "yard/red 2.png": "same"}

    answered.get_by_role("button", name="Search", exact=True).click()
    expect(answered.locator(".card")).to_have_count(3)
    assert ranking(answered)[0] == "yard/red 2.png"
    expect(answered.locator(".card .verdict").first).to_have_text("Same")
    left_out = answered.locator(".left-out")
    expect(left_out).to_contain_text("1 left out by verdicts on this probe")
    left_out.locator("summary").click()
    left_out.get_by_role("button", name="Undo the verdict on gate/red 1.png").click()
    expect(answered.locator(".card")).to_have_count(4)
    answered.locator(".card .face").first.focus()
    answered.keyboard.press("u")
    expect(answered.locator(".card").first).to_have_attribute("data-verdict", "")
    assert service.client.get("/verdicts").json()["verdicts"] == []


def test_a_verdict_is_given_side_by_side_and_one_that_is_refused_says_why(
    service: Running, answered: Page
) -> None:
    answered.locator(".card .face").first.click()
    pair = answered.get_by_role("dialog")
    pair.get_by_role("button", name="Same vehicle").click()
    expect(pair.locator(".verdict")).to_have_text("Same vehicle")
    answered.keyboard.press("u")
    expect(pair.locator(".verdict")).to_have_count(0)
    answered.keyboard.press("ArrowRight")
    service.client.delete("/gallery/yard/red 2.png")
    answered.keyboard.press("n")
    expect(pair.locator(".judging")).to_contain_text("is not enrolled")


def test_of_a_frame_a_vehicle_is_clicked_or_drawn(tmp_path: Path, open_console: Open) -> None:
    with running(tmp_path) as service:
        enroll(service)
        page = open_console(service.url)
        page.set_input_files(
            "#probe-file", {"name": "street.png", "mimeType": "image/png", "buffer": file_of(scene()[0])}
        )
        which = page.get_by_role("region", name="which one?")
        boxes = which.get_by_role("button", name="Search with ")
        expect(boxes).not_to_have_count(0)
        with page.expect_response("**/query") as clicked:
            which.get_by_role("button", name=re.compile("^Search with car")).click()
        expect(page.locator(".card")).to_have_count(4)
        crop = clicked.value.json()["crop"]
        page.locator(".probe-tools").get_by_role("button", name="Watch for this vehicle").click()
        asked = page.get_by_role("dialog", name="Watch for a vehicle in street.png")
        expect(asked.locator("img")).to_have_js_property("naturalWidth", crop[2])
        asked.get_by_label("Threshold").fill("0.9")
        asked.get_by_role("button", name="Watch", exact=True).click()
        expect(asked).to_have_count(0)
        [watch] = service.gallery.watches.all()
        with Image.open(io.BytesIO(service.client.get(f"/watches/{watch.id}/image").content)) as kept:
            assert kept.size == tuple(crop[2:])
        preview = page.locator(".probe .boxes")
        expect(preview.locator("[aria-pressed=true]")).to_have_count(1)
        around = preview.bounding_box()
        assert around is not None
        page.mouse.move(around["x"] + 4, around["y"] + 4)
        page.mouse.down()
        page.mouse.move(around["x"] + around["width"] / 2, around["y"] + around["height"] / 2, steps=4)
        with page.expect_response("**/query") as drawn:
            page.mouse.up()
        expect(preview.locator(".drawn")).to_be_visible()
        left, top, *_ = drawn.value.json()["crop"]
        assert (left, top) == (0, 0), "with its margin, a box from the corner begins there"
        assert crop[:2] != [0, 0]
        page.set_input_files("#probe-file", PROBE)
        expect(page.locator(".probe")).to_contain_text("No vehicle was found in it")
