"""`lka-reid collections`, `--collection` of other commands, and keys that are limited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.command_line import Command
from tests.service.fakes import Running, image_file, open_gallery


@pytest.mark.slow
def test_collections_are_made_used_and_dropped(service: Running, command: Command, tmp_path: Path) -> None:
    url = ("--url", service.url)
    image = tmp_path / "car.png"
    image.write_bytes(image_file())
    made = command("collections", "create", "north", "--max-images", 5, *url)
    assert made.out.strip() == "Made the collection north (at most 5 images)."
    assert command("enroll", image, "--collection", "north", *url).code == 0
    answer = json.loads(command("query", image, "--collection", "north", "--json", *url).out)
    assert [match["image_id"] for match in answer["matches"]] == ["car.png"]
    assert json.loads(command("query", image, "--json", *url).out)["matches"] == []
    assert "car.png" in command("list", "--collection", "north", *url).out
    listed = json.loads(command("collections", "list", "--json", *url).out)
    assert [(one["name"], one["images"]) for one in listed] == [("default", 0), ("north", 1)]
    assert command("collections", "drop", "north", "--yes", *url).code == 0
    gone = command("list", "--collection", "north", *url)
    assert gone.code == 2
    assert "there is no collection 'north'" in gone.err


@pytest.mark.slow
def test_a_limit_that_is_not_given_stays(service: Running, command: Command) -> None:
    url = ("--url", service.url)
    command("collections", "create", "north", "--max-images", 5, "--max-bytes", 2_000_000, *url)
    for words, limits in (
        (("--max-images", 7), "at most 7 images and 2,000,000 bytes"),
        (("--max-images", "none"), "at most 2,000,000 bytes"),
        (("--max-images", 0), "at most 0 images and 2,000,000 bytes"),
        (("--max-images", "none", "--max-bytes", "none"), "no limit"),
    ):
        said = command("collections", "set-quota", "north", *words, *url)
        assert said.out.strip() == f"The collection north has 0 images ({limits})."
    assert "give --max-images or --max-bytes" in command("collections", "set-quota", "north", *url).err
    for wrong in ("-1", "x", "1.5"):
        refused = command("collections", "set-quota", "north", f"--max-bytes={wrong}", *url)
        assert refused.code == 2
        assert f"'{wrong}' is no limit" in refused.err
    assert "there is no collection 'so'" in command("collections", "set-quota", "so", *words, *url).err


def test_a_refusal_is_told(service: Running, command: Command) -> None:
    refused = command("collections", "create", "North", "--url", service.url)
    assert refused.code == 2
    assert "name is 'North', which is no name" in refused.err


def test_a_key_is_limited_to_collections_and_says_so(command: Command, tmp_path: Path) -> None:
    made = ("keys", "create", "--scope", "query", "--name", "x", "--data-dir", tmp_path)
    assert command(*made, "--collection", "north", "--collection", "south").code == 0
    assert command(*made).code == 0
    shown = command("keys", "list", "--data-dir", tmp_path).out
    assert "north, south" in shown
    assert "all" in shown
    refused = command(*made, "--collection", "North")
    assert refused.code == 2
    assert "--collection 'North' is not accepted: a name has 1 .. 63" in refused.err


def test_a_key_for_a_collection_that_is_not_there_is_noted(command: Command, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "collections" / "north"):
        open_gallery(folder).close()
    made = command(
        *("keys", "create", "--scope", "query", "--name", "x", "--data-dir", tmp_path),
        *("--collection", "north", "--collection", "default", "--collection", "nrth"),
    )
    assert made.code == 0
    assert "There is no such collection yet: nrth." in made.err
