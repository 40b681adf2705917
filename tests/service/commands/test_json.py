"""What programs read of the command line: outcomes and errors as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.command_line import Command, free_port
from tests.service.command_tree import all_commands, takes_json
from tests.service.fakes import Running, open_gallery

# They go on until they are stopped, and print what happens meanwhile.
WITHOUT = {"serve", "worker", "demo"}


def error_of(output: str) -> dict[str, Any]:
    """The error on the last line."""
    return dict(json.loads(output.splitlines()[-1])["error"])


@pytest.mark.slow
def test_every_command_that_prints_an_outcome_prints_it_as_json_too() -> None:
    commands = all_commands(unlisted=True)
    assert {"query", "gallery stats", "tune", "study", "compare-rerankers", "summary"} < commands.keys()
    assert {name for name, each in commands.items() if not takes_json(each)} == WITHOUT


def test_an_error_names_its_kind_and_the_remedy(command: Command, tmp_path: Path) -> None:
    outcome = command("gallery", "stats", "--data-dir", tmp_path, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert error_of(outcome.err) == {
        "kind": "no-gallery",
        "detail": f"there is no gallery in {tmp_path}",
        "remedy": "name its folder with --data-dir",
    }
    url = f"http://127.0.0.1:{free_port()}"
    gone = error_of(command("cameras", "list", "--url", url, "--json").err)
    assert (gone["kind"], "lka-reid serve" in gone["remedy"]) == ("service-unreachable", True)


@pytest.mark.slow
def test_what_a_service_refuses_has_the_kind_that_it_gave(service: Running, command: Command) -> None:
    outcome = command("list", "--url", service.url, "--collection", "nowhere", "--json")
    assert (outcome.code, error_of(outcome.err)["kind"]) == (2, "unknown-collection")


@pytest.mark.parametrize("words", [("version", "--nothing"), ("nothing",), ("query",)])
def test_wrong_usage_is_told_as_json_too(command: Command, words: tuple[str, ...]) -> None:
    outcome = command(*words, "--json")
    assert (outcome.code, outcome.out, error_of(outcome.err)["kind"]) == (2, "", "usage")


def test_a_whole_gallery_has_no_faults(command: Command, tmp_path: Path) -> None:
    open_gallery(tmp_path / "g").close()
    whole = command("gallery", "verify", "--data-dir", tmp_path / "g", "--json")
    assert (whole.code, json.loads(whole.out)) == (0, {"images": 0, "faults": []})


def test_a_key_is_made_listed_and_revoked(command: Command, tmp_path: Path) -> None:
    words = ("--data-dir", tmp_path, "--json")
    made = json.loads(command("keys", "create", "--scope", "query", "--name", "a", *words).out)
    assert made["key"].endswith(made["last4"])
    listed = command("keys", "list", *words).out
    assert [key["id"] for key in json.loads(listed)["keys"]] == [made["id"]]
    assert made["key"] not in listed
    assert "sha256" not in listed
    ended = json.loads(command("keys", "revoke", made["id"], *words).out)
    assert ended == {"revoked": made["id"], "keys_left": False}


def test_collections_are_made_and_dropped(service: Running, command: Command) -> None:
    words = ("--url", service.url, "--json")
    made = json.loads(command("collections", "create", "north", "--max-images", 1, *words).out)
    assert (made["name"], made["max_images"]) == ("north", 1)
    dropped = json.loads(command("collections", "drop", "north", "--yes", *words).out)
    assert dropped == {"dropped": "north"}


def test_what_was_deleted_is_counted(service: Running, command: Command) -> None:
    service.enroll(image_id="a")
    words = ("gallery", "delete", "a", "none", "--url", service.url, "--json")
    dry = command(*words, "--dry-run")
    assert (dry.code, json.loads(dry.out)) == (1, {"found": 1, "deleted": 0, "not_enrolled": ["none"]})
    done = command(*words, "--yes")
    assert (done.code, json.loads(done.out)["deleted"]) == (1, 1)
