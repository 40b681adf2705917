"""Images of the console for the pages: `python -m benchmarks.console --url URL --out docs`.

The service at URL should have an empty gallery. The demo's images are enrolled with three cameras and times
that are made up (seed 3); then a probe is searched with, one match judged, and a match explained.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

DEMO = Path(__file__).parents[1] / "service" / "demo"
PROBE = "car_0005_cam1.jpg"
QUALITY = 82


def enroll(url: str) -> None:
    """Enroll the demo's images but the probe."""
    source, start = random.Random(3), datetime(2026, 3, 2, 7, tzinfo=UTC)  # noqa: S311 - times, no secrets
    with httpx.Client(base_url=url, timeout=120) as client, (DEMO / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            if row["path"].endswith(PROBE):
                continue
            camera = "gate-3" if row["camera_id"] == "cam1" else source.choice(["yard", "bridge-north"])
            fields = {
                "image_id": row["path"].removeprefix("images/"),
                "vehicle_id": row["vehicle_id"],
                "camera_id": camera,
                "captured_at": (start + timedelta(minutes=source.randrange(600))).isoformat(),
            }
            answer = client.post("/gallery", data=fields, files={"image": (DEMO / row["path"]).read_bytes()})
            if answer.status_code != httpx.codes.CONFLICT:
                answer.raise_for_status()


def searched(browser: Browser, url: str, scheme: str, width: int, height: int) -> Page:
    """The console with the probe's answer."""
    page = browser.new_page(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": height}
    )
    page.set_default_timeout(120_000)
    page.goto(url)
    page.set_input_files("#probe-file", DEMO / "images" / PROBE)
    page.locator(".card").first.wait_for()
    if width < height:
        page.locator(".answer-head").evaluate("head => head.scrollIntoView()")
    # An image is loaded when it comes into view.
    page.wait_for_function(
        """() => [...document.querySelectorAll('.card img')]
            .filter((image) => image.getBoundingClientRect().top < innerHeight)
            .every((image) => image.naturalWidth)"""
    )
    return page


def save(page: Page, path: Path) -> None:
    """What is seen, as WebP."""
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.save(path, quality=QUALITY, method=6)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Make the three images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    enroll(options.url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = searched(browser, options.url, "light", 1280, 800)
        first = page.locator(".card").first
        if first.get_attribute("data-verdict") != "same":
            first.get_by_role("button", name="Same vehicle").click()
            first.locator(".verdict").wait_for()
        page.mouse.move(2, 700)
        save(page, options.out / "console-search.webp")
        page = searched(browser, options.url, "dark", 1280, 800)
        page.locator(".card .face").first.click()
        page.locator(".why-figure").wait_for()
        page.locator("dialog").evaluate("dialog => { dialog.scrollTop = 330; }")
        save(page, options.out / "console-why.webp")
        page = searched(browser, options.url, "dark", 390, 844)
        save(page, options.out / "console-phone.webp")
        browser.close()


if __name__ == "__main__":
    main()
