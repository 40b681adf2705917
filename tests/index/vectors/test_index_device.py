"""A GPU searches where it can, is asked for by name or left out with a reason, and changes no answer."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import Filter, IndexDeviceError
from index.vectors import device
from index.vectors.device import GONE, GpuCopy, start
from index.vectors.faisslib import faiss
from index.vectors.gpu import why_not
from index.vectors.kind import DeviceSetting
from tests.index.gpu import OnGpu, Resources, stand_in
from tests.index.samples import Open
from tests.index.vectors.kinds import DIM, IMAGES, SETUPS, Vector, best, drawn, enroll, found, named

HAS_GPU = why_not(0) is None


@pytest.fixture(
    params=[
        "stand-in",
        pytest.param("real", marks=pytest.mark.skipif(not HAS_GPU, reason="faiss-gpu and a GPU are needed")),
    ]
)
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int] | None:
    """What is searched on a GPU, counted for the stand-in."""
    return stand_in(monkeypatch) if request.param == "stand-in" else None


def copy_of(rows: Vector) -> GpuCopy:
    """Rows on the GPU, known by their places."""
    copy = GpuCopy(start("gpu"), faiss.IndexFlatIP(DIM), np.empty(0, np.int64))
    copy.add(np.arange(len(rows)), rows)
    return copy


@pytest.mark.parametrize("kind", ["flat", "flat16", "compressed", "hnsw"])
def test_a_gpu_answers_as_the_processor_does(open_gallery: Open, calls: list[int] | None, kind: str) -> None:
    setup = replace(SETUPS[kind], device="gpu")
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    enroll(gallery, drawn(IMAGES, 2))
    gallery.wait_for_index()
    held = named(drawn(IMAGES, 2))
    state = gallery.index_state()
    assert (state.kind, state.device, state.gpu_left_out) == (kind, "gpu", None)
    for step in range(3):
        probes = drawn(8, 20 + step)
        shares = [len(set(found(gallery, one, 10)) & set(best(held, one, 10))) / 10 for one in probes]
        assert np.mean(shares) >= (1.0 if kind == "flat" else 0.95)
        enroll(gallery, drawn(6, 30 + step), IMAGES + 10 * step, camera_id="gate")
        held |= named(drawn(6, 30 + step), IMAGES + 10 * step)
        for number in range(5 * step, 5 * step + 3):
            gallery.delete(f"{number}")
            assert f"{number}" not in found(gallery, held.pop(f"{number}"), 20)
    gate = {name: one for name, one in held.items() if int(name) >= IMAGES}
    probe = drawn(1, 40)[0]
    assert found(gallery, probe, 5, where=Filter(camera_ids=frozenset({"gate"}))) == best(gate, probe, 5)
    if calls is not None and kind != "hnsw":
        assert len(calls) > 20


@pytest.mark.parametrize("kind", ["flat", "flat16"])
def test_a_flat_index_goes_to_a_gpu_in_pieces(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls = stand_in(monkeypatch)
    monkeypatch.setattr("index.vectors.flat.PIECE", 64)
    sizes: list[int] = []
    add = OnGpu.add

    def noted(self: OnGpu, rows: Vector) -> None:
        sizes.append(len(rows))
        add(self, rows)

    setup = replace(SETUPS[kind], device="gpu")
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    rows = drawn(150, 2)
    enroll(gallery, rows)
    calls.clear()
    monkeypatch.setattr(OnGpu, "add", noted)
    assert [found(gallery, row, 1) for row in rows[::50]] == [["0"], ["50"], ["100"]]
    assert sizes == [64, 64, 22]
    assert len(calls) == 3


@pytest.mark.usefixtures("calls")
def test_a_thousand_copies_are_answered_right_on_a_gpu(open_gallery: Open) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=replace(SETUPS["flat"], device="gpu"))
    probe = drawn(1, 6)[0]
    enroll(gallery, drawn(50, 2))
    enroll(gallery, np.repeat(probe[np.newaxis], 1000, axis=0), 50)
    assert found(gallery, probe, 20) == [f"{number}" for number in range(50, 70)]


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("kind", ["flat", "compressed"])
def test_threads_search_on_a_gpu_one_after_the_other(open_gallery: Open, kind: str) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=replace(SETUPS[kind], device="gpu"))
    enroll(gallery, drawn(IMAGES, 2))
    gallery.wait_for_index()
    probes = drawn(40, 20)
    alone = [found(gallery, probe, 10) for probe in probes]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda probe: found(gallery, probe, 10), probes)) == alone


@pytest.mark.usefixtures("calls")
def test_copies_on_one_gpu_are_made_changed_and_let_go_while_another_is_searched() -> None:
    rows = drawn(50, 2)
    searched = copy_of(rows)

    def use(number: int) -> int:
        if number % 2:
            another = copy_of(rows)
            del another
        _, ids = searched.search(rows[number : number + 1], 1) or (None, np.array([[-1]]))
        return int(ids[0, 0])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(50))) == list(range(50))


def test_the_galleries_of_a_process_share_what_faiss_needs_on_a_gpu(
    open_gallery: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in(monkeypatch)
    setup = replace(SETUPS["flat"], device="auto")
    rows = drawn(20, 2)
    galleries = [
        open_gallery(tmp_path / name, descriptor_dim=DIM, strips_shape=None, index=setup)
        for name in ("a", "b", "c")
    ]
    for gallery in galleries:
        enroll(gallery, rows)
    calls.clear()
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda number: found(galleries[number % 3], rows[number], 1), range(20))
        assert list(answers) == [[f"{number}"] for number in range(20)]
    assert len(calls) == 20
    assert len(Resources.made) == 1


def test_a_copy_is_made_anew_when_many_of_its_rows_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    rows = drawn(900, 2)
    copy = copy_of(rows)
    copy.remove(np.arange(GONE))
    assert not copy.is_outdated
    scores, ids = copy.search(rows[:2], 900 - GONE) or (None, None)
    assert scores is not None
    assert ids is not None
    assert ids.min() == GONE
    assert np.all(np.diff(scores, axis=1) <= 0)
    copy.remove(np.array([GONE]))
    assert copy.is_outdated
    assert copy.search(rows[:1], 2048) is not None
    assert copy_of(drawn(2100, 2)).search(rows[:1], 2049) is None


def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(monkeypatch)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    return "FAISS finds no GPU"


def _no_code(monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(monkeypatch)
    monkeypatch.setattr(device, "why_not", why_not)
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    return "this FAISS has no GPU code"


def _no_driver(monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(monkeypatch)

    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA error 35: driver too old\n  in some file")

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", fail)
    return "CUDA error 35: driver too old"


def _wrong(monkeypatch: pytest.MonkeyPatch) -> str:
    stand_in(monkeypatch)

    class Wrong:
        def add(self, rows: Any) -> None:
            assert len(rows)

        def search(self, *_: Any) -> Any:
            return np.zeros((1, 1)), np.array([[6]])

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda *_: Wrong())
    return "a search on it gave a wrong answer"


@pytest.mark.parametrize("failure", [_no_gpu, _no_code, _no_driver, _wrong])
def test_a_gpu_that_cannot_be_used_is_left_out_by_auto_and_refused_by_name(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reason = failure(monkeypatch)
    with caplog.at_level(logging.INFO):
        state = open_gallery(index=replace(SETUPS["flat"], device="auto")).index_state()
    assert state.device == "cpu"
    assert (state.gpu_left_out or "").startswith(reason)
    assert f"no GPU is used: {reason}" in caplog.text
    with pytest.raises(IndexDeviceError, match=rf"{reason}.*lka-reid\[gpu\].*LKA_REID_INDEX_DEVICE"):
        start("gpu")


@pytest.mark.parametrize("setting", ["cpu"])
def test_a_gpu_is_not_looked_for_where_the_processor_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, setting: DeviceSetting
) -> None:
    calls = stand_in(monkeypatch)
    assert start(setting).name == "cpu"
    assert start(setting).left_out is None
    assert calls == []
