"""`lka-reid doctor`: every line ok, wrong or left out, and what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from index.vectors import device
from models.bundle import Bundle
from models.runtimes import choice
from models.runtimes.trial import Lack
from service.diagnosis import inference
from service.settings import Settings
from tests.index.gpu import stand_in
from tests.service.command_line import Command, command_runner, free_port
from tests.service.fakes import FakeModels, load_fakes, open_gallery, write_bundle
from tests.service.redis_server import redis_server

ROOT = Path(__file__).parents[3]
CHECKS = {
    *("python", "driver", "ONNX Runtime", "CUDA", "cuDNN", "bundle", "FAISS", "Redis", "disk", "gallery"),
    *("runtime cuda", "runtime torch-cuda", "runtime openvino", "runtime cpu"),
    *("forward pass (auto)", "detector", "videos", "shared store", "Milvus", "object store"),
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setattr(inference, "load_models", load_fakes)
    # The real ones import torch; tests/models/test_trial.py has them.
    lacks = {"cuda": Lack("no driver", "install it"), "torch-cuda": Lack("x")}
    monkeypatch.setattr(
        choice,
        "trials",
        lambda _device: {name: (lambda name=name: lacks.get(name)) for name in (*lacks, "openvino", "cpu")},
    )
    return command_runner(monkeypatch, capsys)


def findings(out: str) -> dict[str, dict[str, Any]]:
    answer = json.loads(out)
    return {finding["what"]: finding for finding in answer["findings"]}


def test_a_machine_without_a_gpu_is_well_and_says_what_is_left_out(command: Command) -> None:
    bundle = write_bundle(Path("bundle"))
    outcome = command("doctor", "--bundle", bundle, "--json")
    assert outcome.code == 0
    found = findings(outcome.out)
    assert set(found) == CHECKS
    assert json.loads(outcome.out)["ok"] is True
    assert {name for name, finding in found.items() if finding["state"] == "wrong"} == set()
    for name in ("python", "ONNX Runtime", "runtime cpu", "bundle", "forward pass (auto)", "FAISS", "disk"):
        assert found[name]["state"] == "ok", name
    assert found["runtime cuda"] == {
        "what": "runtime cuda",
        "state": "left out",
        "found": "no driver",
        "remedy": "install it",
    }
    assert found["gallery"]["state"] == found["Redis"]["state"] == "left out"
    assert found["forward pass (auto)"]["found"].startswith("fake, ")


def test_the_page_shows_every_line_in_the_order_in_which_they_are_printed(command: Command) -> None:
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--json")
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    shown = page.partition("lka-reid doctor\n    Findings")[2].partition("nothing is wrong")[0]
    lines = re.findall(r"^     (\S.*?)  +(?:ok|left out|wrong)  ", shown, re.MULTILINE)
    assert lines == list(findings(outcome.out))


def test_what_is_left_out_on_the_gpu_has_a_line_of_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(settings: Settings, bundle: Bundle) -> FakeModels:
        models = load_fakes(settings, bundle)
        models.gpu_left_out = {"CUDA graphs": "operation not permitted when stream is capturing"}
        models.streams = 2
        return models

    monkeypatch.setattr(inference, "load_models", load)
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--json")
    assert outcome.code == 0
    found = findings(outcome.out)["CUDA graphs"]
    assert (found["state"], found["found"]) == (
        "left out",
        "operation not permitted when stream is capturing",
    )
    assert "LKA_REID_CUDA_GRAPHS=false" in found["remedy"]
    assert findings(outcome.out)["forward pass (auto)"]["found"].startswith("fake, 2 streams, ")


def test_the_table_has_a_line_for_each(command: Command) -> None:
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")))
    assert outcome.code == 0
    for name in CHECKS:
        assert any(line.strip().startswith(name) for line in outcome.out.splitlines()), name
    assert outcome.out.endswith("nothing is wrong\n")


def test_the_detector_looks_at_a_frame_or_says_why_not(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(Path("bundle"))
    found = findings(command("doctor", "--bundle", bundle, "--json").out)["detector"]
    assert found["found"].startswith("yolox-nano-416, ")
    monkeypatch.setenv("LKA_REID_DETECTOR", "gone")
    found = findings(command("doctor", "--bundle", bundle, "--json").out)["detector"]
    assert (found["state"], found["found"]) == ("wrong", "gone/manifest.json: No such file or directory")
    monkeypatch.setenv("LKA_REID_DETECTOR", "off")
    found = findings(command("doctor", "--bundle", bundle, "--json").out)["detector"]
    assert (found["state"], found["found"]) == ("left out", "is switched off")


@pytest.mark.parametrize(
    ("setting", "state", "said"),
    [
        ("auto", "left out", "the vector index is on the CPU: CUDA error 803"),
        ("gpu", "wrong", "the vector index is on the CPU: CUDA error 803"),
        ("cpu", "ok", "for GPUs, searches on the CPU"),
    ],
)
def test_a_gpu_that_faiss_cannot_search_on_is_left_out_or_wrong_with_the_reason(
    command: Command, monkeypatch: pytest.MonkeyPatch, setting: str, state: str, said: str
) -> None:
    monkeypatch.setattr("faiss.StandardGpuResources", object, raising=False)
    monkeypatch.setattr(device, "_found", {})
    monkeypatch.setattr(device, "why_not", lambda _: "CUDA error 803")
    monkeypatch.setenv("LKA_REID_INDEX_DEVICE", setting)
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--json")
    finding = findings(outcome.out)["FAISS"]
    assert (finding["state"], outcome.code) == (state, int(state == "wrong"))
    assert said in finding["found"]
    assert ("lka-reid[gpu]" in finding["remedy"]) == (state != "ok")


def test_a_gpu_that_faiss_searches_on_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, gpus=3, number=2)
    monkeypatch.setenv("LKA_REID_DEVICE_ID", "2")
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--json")
    finding = findings(outcome.out)["FAISS"]
    assert finding["state"] == "ok"
    assert finding["found"].endswith("for GPUs, searches on GPU 2")


def test_what_is_set_and_not_there_is_wrong(command: Command) -> None:
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--runtime", "cuda")
    assert outcome.code == 1
    lines = [line.split() for line in outcome.out.splitlines()]
    assert any(line[:3] == ["runtime", "cuda", "wrong"] for line in lines)
    assert "are wrong" in outcome.out


def test_a_bundle_that_is_damaged_is_wrong_with_what_helps(command: Command) -> None:
    bundle = write_bundle(Path("bundle"))
    (bundle / "embedder.onnx").write_bytes(b"another")
    outcome = command("doctor", "--bundle", bundle, "--json")
    assert outcome.code == 1
    found = findings(outcome.out)
    assert found["bundle"]["state"] == found["forward pass (auto)"]["state"] == "wrong"
    assert "embedder.onnx" in found["bundle"]["found"]
    assert found["bundle"]["remedy"]


@pytest.mark.slow
def test_a_gallery_of_another_bundle_is_wrong_and_one_of_this_is_not(command: Command) -> None:
    bundle = write_bundle(Path("bundle"))
    fingerprint = Bundle.load(bundle).fingerprint
    open_gallery(Path("mine"), fingerprint=fingerprint).close()
    open_gallery(Path("other"), fingerprint="0" * 64).close()
    mine = command("doctor", "--bundle", bundle, "--data-dir", "mine", "--json")
    assert (mine.code, findings(mine.out)["gallery"]["state"]) == (0, "ok")
    other = command("doctor", "--bundle", bundle, "--data-dir", "other", "--json")
    finding = findings(other.out)["gallery"]
    assert (other.code, finding["state"]) == (1, "wrong")
    assert "gallery re-embed --data-dir other" in finding["remedy"]


def test_a_gallery_in_use_can_be_looked_at(command: Command) -> None:
    bundle = write_bundle(Path("bundle"))
    with open_gallery(Path("data"), fingerprint=Bundle.load(bundle).fingerprint):
        outcome = command("doctor", "--bundle", bundle, "--data-dir", "data", "--json")
    assert (outcome.code, findings(outcome.out)["gallery"]["state"]) == (0, "ok")


def test_redis_is_asked_where_it_is_set(command: Command, tmp_path: Path) -> None:
    bundle = write_bundle(Path("bundle"))
    with redis_server(tmp_path, None) as redis:
        there = command("doctor", "--bundle", bundle, "--redis-url", redis.url, "--json")
    assert (there.code, findings(there.out)["Redis"]["state"]) == (0, "ok")
    gone = command(
        "doctor", "--bundle", bundle, "--redis-url", f"redis://127.0.0.1:{free_port()}/0", "--json"
    )
    assert (gone.code, findings(gone.out)["Redis"]["state"]) == (1, "wrong")


def test_a_disk_that_is_nearly_full_is_wrong(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr("service.diagnosis.machine.shutil.disk_usage", lambda _path: usage)
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--json")
    assert (outcome.code, findings(outcome.out)["disk"]["state"]) == (1, "wrong")


def test_a_data_directory_that_can_be_none_is_wrong(command: Command) -> None:
    """As `lka-reid serve` ends with each of them."""
    bundle = write_bundle(Path("bundle"))
    Path("file").write_bytes(b"x")
    Path("dangling").symlink_to("nowhere")
    for data_dir, found in {
        "file": "file is no folder",
        "file/sub/sub": "file is no folder",
        "dangling": "dangling is a link to nothing",
        "dangling/sub": "dangling is a link to nothing",
    }.items():
        outcome = command("doctor", "--bundle", bundle, "--data-dir", data_dir, "--json")
        lines = findings(outcome.out)
        assert (outcome.code, lines["disk"]["state"]) == (1, "wrong"), data_dir
        assert lines["disk"]["found"].endswith(found)
        assert lines["disk"]["remedy"]
        assert "serve" not in lines["gallery"]["found"]
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert command("doctor", "--bundle", bundle, "--data-dir", "link/new", "--json").code == 0


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_database_that_is_no_file_is_wrong(command: Command, kind: str) -> None:
    database = Path("data") / "gallery.sqlite"
    if kind == "folder":
        database.mkdir(parents=True)
    else:
        database.parent.mkdir()
        database.symlink_to("no/where")
    outcome = command("doctor", "--bundle", write_bundle(Path("bundle")), "--data-dir", "data", "--json")
    finding = findings(outcome.out)["gallery"]
    assert (outcome.code, finding["state"]) == (1, "wrong")
    assert (finding["found"], bool(finding["remedy"])) == ("data/gallery.sqlite is no file", True)


def test_what_cannot_be_written_is_wrong(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(Path("bundle"))
    open_gallery(Path("data"), fingerprint=Bundle.load(bundle).fingerprint).close()
    access, refused = os.access, ""

    def may(path: Path, mode: int, **more: Any) -> bool:
        """By hand: root may write everything."""
        return not (Path(path).name == refused and mode & os.W_OK) and access(path, mode, **more)

    monkeypatch.setattr("os.access", may)
    for name, line in {"data": "disk", "gallery.sqlite": "gallery"}.items():
        refused = name
        outcome = command("doctor", "--bundle", bundle, "--data-dir", "data", "--json")
        finding = findings(outcome.out)[line]
        assert (outcome.code, finding["state"]) == (1, "wrong")
        assert "cannot be " in finding["found"]
        assert finding["remedy"]
