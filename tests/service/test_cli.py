"""The `lka-reid` command, as a user meets it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import typer
from pydantic import Field, SecretStr

from service import resources
from service import settings as settings_module
from service.commands import plugins
from service.settings import Settings
from tests.service.command_line import Command, free_port
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, load_fakes, open_gallery, write_bundle


def image_folder(folder: str) -> Path:
    path = Path(folder)
    path.mkdir()
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        (path / f"{name}.png").write_bytes(image_file(colour))
    return path


def test_windows_is_refused_with_a_way_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.sys.platform", "win32")
    outcome = command("version")
    assert (outcome.code, outcome.out) == (2, "")
    assert "runs on Linux and macOS; on Windows, run it in WSL 2" in outcome.err


@pytest.mark.parametrize(
    "name",
    [
        "serve",
        "demo",
        "enroll",
        "query",
        "explain",
        "config",
        "version",
        "gallery",
        "bundle migrate",
        "gallery re-embed",
        "keys",
    ],
)
def test_every_command_explains_itself(command: Command, name: str) -> None:
    outcome = command(*name.split(), "--help")
    assert outcome.code == 0
    assert f"lka-reid {name}" in outcome.out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gallery re-embed", "until the end, when the new gallery takes the old one's place in one step"),
        ("train embedder", "on several GPUs, or several machines, start it with torchrun"),
        ("data check", "duplicates, vehicles in training and test, query vehicles"),
        ("evaluate", "what is done on top of it (second stage, camera-aware centring, query expansion"),
    ],
)
def test_paragraphs_of_help_flow_as_wide_as_the_terminal(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    """However they are broken in the source."""
    monkeypatch.setenv("COLUMNS", "400")
    assert sentence.lower() in command(*name.split(), "--help").out.lower()


@pytest.mark.slow
def test_without_a_command_all_are_listed(command: Command) -> None:
    outcome = command()
    for name in (
        "serve",
        "demo",
        "enroll",
        "query",
        "explain",
        "config",
        "version",
        "gallery",
        "bundle",
        "keys",
    ):
        assert f" {name} " in outcome.out


def test_the_most_similar_are_shown(service: Running, command: Command) -> None:
    folder = image_folder("images")
    assert command("enroll", folder, "--url", service.url).code == 0

    shown = command("query", folder / "green.png", "--url", service.url, "--top-k", 2)
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert any(line[:2] == ["1", "1.0000"] and line[-1] == "green.png" for line in lines)
    assert "both stages, 3 images enrolled" in shown.out

    raw = command("query", folder / "green.png", "--url", service.url, "--no-rerank", "--json")
    answer = json.loads(raw.out)
    assert answer["matches"][0]["image_id"] == "green.png"
    assert answer["reranked"] is False


def test_an_empty_gallery_is_answered_how_to_fill(service: Running, command: Command) -> None:
    outcome = command("query", image_folder("images") / "red.png", "--url", service.url)
    assert outcome.code == 0
    assert "lka-reid enroll" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enroll", "nowhere"], "nowhere does not exist"),
        (["query", "nowhere.jpg"], "nowhere.jpg does not exist"),
        (["query", "."], ". is a folder"),
        (["query", "\udce9\x1b[31m.jpg"], r"\xe9\x1b[31m.jpg does not exist"),
        (["serve", "--port", "0"], "--port 0 is not accepted; it takes a whole number, 1 .. 65,535"),
        (["serve", "--runtime", "gpu"], "--runtime gpu is not accepted; it takes auto | cuda"),
        (["gallery", "re-embed", "--bundle", "nowhere"], "nowhere/manifest.json: no such file"),
    ],
)
def test_a_mistake_is_one_clear_line(command: Command, arguments: list[str], message: str) -> None:
    outcome = command(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {message}")
    assert len(outcome.err.splitlines()) == 1


def test_no_service_is_reported_with_the_remedy(command: Command) -> None:
    folder = image_folder("images")
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["enroll", folder], ["query", folder / "red.png"]):
        outcome = command(*arguments, "--url", url)
        assert outcome.code == 2
        assert f"no service answers at {url}" in outcome.err


def test_config_shows_values_where_they_come_from_and_no_secrets(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithSecret(Settings):
        token: SecretStr | None = Field(None, description="a secret")

    for module in (settings_module, settings_module.loading):
        monkeypatch.setattr(module, "Settings", WithSecret)
    monkeypatch.setenv("LKA_REID_TOKEN", "hunter2")
    monkeypatch.setenv("LKA_REID_PORT", "9001")
    monkeypatch.setenv("LKA_REID_PROT", "1")
    outcome = command("config")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    below = {
        line.split()[0]: after
        for line, after in itertools.pairwise(lines)
        if line.strip().startswith("LKA_REID_")
    }
    assert "9001 (environment)" in below["LKA_REID_PORT"]
    assert "127.0.0.1 " in below["LKA_REID_HOST"]
    assert "(" not in below["LKA_REID_HOST"]
    assert "***" in below["LKA_REID_TOKEN"]
    assert "hunter2" not in outcome.out
    assert "LKA_REID_PROT is set, but is no setting" in outcome.err


def test_a_wrong_variable_stops_every_command_that_reads_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKA_REID_MAX_BATCH", "many")
    for name in ("serve", "config"):
        outcome = command(name)
        assert outcome.code == 2
        assert outcome.err.startswith(
            "Error: LKA_REID_MAX_BATCH=many is not accepted; it takes a whole number"
        )


def test_a_gallery_changes_to_another_bundle(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_models", load_fakes)
    bundle, data = write_bundle(Path("bundle")), Path("data")
    there_is_none = command("gallery", "re-embed", "--data-dir", data, "--bundle", bundle)
    assert there_is_none.code == 2
    assert "there is no gallery in data" in there_is_none.err

    open_gallery(data, fingerprint="e" * 64).close()
    done = command("gallery", "re-embed", "--data-dir", data, "--bundle", bundle)
    assert done.code == 0
    assert done.out.startswith("0 images embedded by fake")
    again = command("gallery", "re-embed", "--data-dir", data, "--bundle", bundle)
    assert (again.code, "nothing to do" in again.out) == (0, True)


extra = typer.Typer()


@extra.command()
def export() -> None:
    """Write a bundle."""
    print("exported")


@extra.command()
def summary() -> None:
    """Print a table."""
    import_module("no_such_torch")


def test_commands_of_other_packages_stand_at_the_top_and_in_a_group(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point = EntryPoint("training", f"{__name__}:extra", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: EntryPoints([entry_point]))
    assert command("export").out == "exported\n"
    assert command("training", "export").out == "exported\n"
    assert "Write a bundle" in command("training", "--help").out
    assert " training " in command("--help").out
    assert "No such command 'exprot'" in command("exprot").err


@pytest.mark.slow
def test_help_shows_what_is_for_ones_own_cameras_in_groups(command: Command) -> None:
    shown = command("--help").out
    groups = shown[shown.index("Your own cameras") :]
    assert groups.index("Your own cameras") < groups.index(" tune ") < groups.index("─ Training ─")
    own, training = groups.split("─ Training ─")
    for name in ("data", "evaluate", "calibrate", "tune"):
        assert f" {name} " in own
    for name in ("train", "export", "exchange-reranker"):
        assert f" {name} " in training


def test_the_version_is_an_option_too(command: Command) -> None:
    assert command("--version").out == command("version").out
    assert command("--version").code == 0


def test_a_command_that_misses_a_package_says_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point = EntryPoint("training", f"{__name__}:extra", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: EntryPoints([entry_point]))
    outcome = command("summary")
    assert outcome.code == 2
    assert "needs no_such_torch" in outcome.err
    assert "pip install 'lka-reid[train]'" in outcome.err


def test_commands_that_cannot_be_imported_say_what_to_install_and_disturb_no_others(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_point = EntryPoint("training", "no_such_module_for_training:app", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: EntryPoints([entry_point]))
    assert command("version").code == 0
    assert " training " in command("--help").out
    outcome = command("export")
    assert outcome.code == 2
    assert "pip install 'lka-reid[train]'" in outcome.err
    assert "no_such_module_for_training" in outcome.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["version"], ["version", "--json"]])
def test_a_full_disk_under_the_output_is_one_line_and_status_2(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [sys.executable, "-m", "service.cli", *words], stdout=full, stderr=subprocess.PIPE, check=False
        )
    [line] = found.stderr.decode().splitlines()
    assert (found.returncode, "what was to be printed: No space left on device" in line) == (2, True)
