"""`lka-reid enroll`, as a user meets it: nothing is left out without a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from lka_reid_client.errors import ServiceUnreachableError
from service.commands.enrollment_summary import counts, not_enrolled_table
from service.remote.http import Enrolled, ServiceClient
from service.remote.outcome import Fate, Outcome
from tests.service.command_line import ROOT, Command, free_port
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file

COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


def images(folder: str, shift: int = 0) -> Path:
    path = Path(folder)
    path.mkdir(parents=True)
    for name, (red, green, blue) in COLOURS.items():
        (path / f"{name}.png").write_bytes(image_file((red, green, blue + shift)))
    return path


def figures(text: str) -> dict[str, int]:
    rows = [line.rsplit(maxsplit=1) for line in text.splitlines()]
    return {name: int(count) for name, count in rows if count.isdigit()}


def test_images_are_enrolled_once_and_go_on_from_there(service: Running, command: Command) -> None:
    folder = images("images")
    first = command("enroll", folder, "--url", service.url, "--camera-id", "cam1")
    assert (first.code, first.out) == (
        0,
        "enrolled                 3\nalready there, as given  0\nfailed                   0\n",
    )
    (folder / "new.png").write_bytes(image_file((1, 2, 3)))
    again = command("enroll", folder, "--url", service.url, "--camera-id", "cam1")
    assert again.code == 0
    assert figures(again.out) == {"enrolled": 1, "already there, as given": 3, "failed": 0}
    assert service.gallery.get("red.png").camera_id == "cam1"


def test_another_camera_with_the_same_file_names_is_flagged_and_has_a_way_in(
    service: Running, command: Command
) -> None:
    first, second = images("gate-3"), images("gate-4", shift=9)
    assert command("enroll", first, "--camera-id", "gate-3", "--url", service.url).code == 0
    outcome = command("enroll", second, "--camera-id", "gate-4", "--url", service.url)
    assert outcome.code == 1
    assert figures(outcome.out)["there with another image"] == 3
    assert "--id-prefix" in outcome.out
    for name in COLOURS:
        assert f"gate-4/{name}.png" in outcome.err
    with_prefix = command("enroll", second, "--id-prefix", "gate-4/", "--url", service.url)
    assert (with_prefix.code, figures(with_prefix.out)["enrolled"]) == (0, 3)
    assert service.gallery.get("gate-4/red.png").image_id


def test_other_fields_of_the_same_image_are_flagged(service: Running, command: Command) -> None:
    folder = images("images")
    command("enroll", folder, "--url", service.url)
    outcome = command("enroll", folder, "--url", service.url, "--vehicle-id", "bus 9")
    assert outcome.code == 1
    assert figures(outcome.out)["there with other fields"] == 3
    assert "enrolled with another vehicle_id" in outcome.err


def test_all_that_is_left_out_is_listed_with_its_reason_and_the_rest_is_enrolled(
    service: Running, command: Command
) -> None:
    folder = images("images")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "empty.jpg").touch()
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(image_file())
    (folder / ".thumbnails").mkdir()
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / "link.png").symlink_to("nowhere.png")
    outcome = command("enroll", folder, "--url", service.url)
    assert outcome.code == 1
    assert figures(outcome.out) == {"enrolled": 3, "already there, as given": 0, "skipped": 2, "failed": 4}
    rows = outcome.err.splitlines()
    for name, reason in (
        ("broken.jpg", "no image that is known here"),
        ("empty.jpg", "is empty"),
        (r"caf\xe9.png", "its name is no UTF-8"),
        ("link.png", "leads nowhere"),
        (".thumbnails", "hidden"),
        ("notes.txt", "no image (.txt)"),
    ):
        [row] = [row for row in rows if name in row]
        assert reason in row
        assert row.split()[0] == ("skipped" if name in (".thumbnails", "notes.txt") else "missing")


def test_rows_of_a_manifest_that_fail_are_listed(service: Running, command: Command) -> None:
    folder = images("images")
    (folder / "list.csv").write_text(
        "path,camera_id,captured_at,role\nred.png,c,2024-05-17T08:30:00Z,probe\ngreen.png,c,yesterday,\nblue.png,c\n"
        "gone.png,c,,\n",
        encoding="utf-8",
    )
    outcome = command("enroll", folder / "list.csv", "--url", service.url)
    assert outcome.code == 1
    assert figures(outcome.out) == {"enrolled": 1, "already there, as given": 0, "failed": 3}
    assert "captured_at 'yesterday' is not a time" in outcome.err
    assert "captured_at is empty" in outcome.err
    assert "Not read of images/list.csv: role" in outcome.err


def test_the_outcome_is_had_as_json(service: Running, command: Command) -> None:
    folder = images("images")
    (folder / "bad.png").write_bytes(b"x")
    outcome = command("enroll", folder, "--url", service.url, "--json")
    assert outcome.code == 1
    answer = json.loads(outcome.out)
    assert answer["counts"]["enrolled"] == 3
    [entry] = answer["not_enrolled"]
    assert (entry["what"], entry["fate"]) == ("images/bad.png", "failed")


def test_a_dry_run_checks_everything_and_asks_no_service(command: Command) -> None:
    folder = images("images")
    (folder / "bad.png").write_bytes(b"x")
    outcome = command("enroll", folder, "--dry-run", "--url", f"http://127.0.0.1:{free_port()}")
    assert outcome.code == 1
    assert figures(outcome.out) == {"could be enrolled": 3, "failed": 1}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--start", "2026-01-01T00:00:00Z", "--anew"), "nothing that --start, --anew could be for"),
        (("--crops", 3), "nothing that --crops could be for"),
        (("--camera-id", ""), "camera_id is '', which is not a legal camera id"),
        (("--camera-id", "a/../b"), "camera_id is 'a/../b', which is not a legal camera id"),
    ],
)
def test_what_would_be_left_unheeded_is_refused(
    command: Command, words: tuple[object, ...], why: str
) -> None:
    Path("images").mkdir()
    Path("images/a.png").write_bytes(image_file())
    outcome = command("enroll", "images", "--dry-run", *words)
    assert (outcome.code, why in outcome.err) == (2, True)


def test_a_service_that_goes_away_is_reported_after_what_was_done(
    service: Running, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll = ServiceClient.enroll

    def until_it_is_gone(
        client: ServiceClient, image: Path, fields: Mapping[str, str | list[str]]
    ) -> Enrolled:
        if image.name == "green.png":
            raise ServiceUnreachableError("no service answers")
        return enroll(client, image, fields)

    monkeypatch.setattr(ServiceClient, "enroll", until_it_is_gone)
    outcome = command("enroll", images("images"), "--workers", 1, "--batch", 1, "--url", service.url)
    assert outcome.code == 1
    assert figures(outcome.out) == {
        "enrolled": 1,
        "already there, as given": 0,
        "failed": 1,
        "not tried": 1,
    }
    assert outcome.err.endswith("Error: no service answers\n")


def test_where_no_service_answers_that_is_all_that_is_said(command: Command) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    outcome = command("enroll", images("images"), "--url", url)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: no service answers at {url}")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_gives_the_summary_of_what_was_done(service: Running) -> None:
    folder = images("images")
    for number in range(40):
        (folder / f"{number}.png").write_bytes(image_file((number, 0, 0)))
    embedded = threading.Event()
    go_on = threading.Event()

    def slowly(_images: object) -> None:
        embedded.set()
        go_on.wait(20)

    service.models.embedder.on_embed = slowly
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "service.cli", "enroll", Path("images").absolute()),
            *("--batch", "4", "--workers", "2", "--url", service.url),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert embedded.wait(30)
    process.send_signal(signal.SIGINT)
    go_on.set()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    found = figures(out)
    assert found["enrolled"] >= 1
    assert found["enrolled"] + found["not tried"] == 43
    assert "Run the same command again to go on." in out


@pytest.mark.slow
def test_an_encoding_without_the_bytes_of_a_name_is_no_obstacle() -> None:
    folder = images("images")
    (folder / "caf\u00e9 \u8eca.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "enroll", Path("images").absolute(), "--dry-run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert r"caf\xe9 \u8eca.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_summary_is_aligned_and_names_what_can_be_done() -> None:
    outcome = Outcome()
    for number in range(1234):
        outcome.add(f"{number}.jpg", Fate.enrolled)
    outcome.add("x.jpg", Fate.other_image, "another image is enrolled as 'x.jpg'")
    lines = counts(outcome).splitlines()
    assert lines[0] == "enrolled                  1,234"
    assert lines[2] == "there with another image      1"
    assert len({len(line) for line in lines[:4]}) == 1
    assert "--id-prefix" in lines[4]


def test_many_of_a_kind_are_shown_in_part_and_counted() -> None:
    outcome = Outcome()
    for number in range(25):
        outcome.add(f"{number:02}.jpg", Fate.other_image, f"another image is enrolled as '{number:02}.jpg'")
        outcome.add(f"{number:02}.txt", Fate.skipped, "no image (.txt)")
    table = not_enrolled_table(outcome)
    places = list(table.columns[1].cells)
    assert places[:10] == [f"{number:02}.jpg" for number in range(10)]
    assert places[10:] == ["and 15 more (--json lists all)", "00.txt and 24 more"]
