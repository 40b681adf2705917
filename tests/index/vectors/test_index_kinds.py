"""What a gallery promises of its searches, for each kind of index; brute force in numpy is the oracle."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index import Filter, LocalGallery
from index.amendment import Amendment
from index.cameras.normalisation import RAW, Normalisation
from index.database.connections import DATABASE
from index.database.descriptors import as_stored
from index.vectors.codes import Coded
from index.vectors.flat import Flat
from index.vectors.kind import IndexSetup, Kind
from index.vectors.vectors import Vectors
from tests.index.samples import Open
from tests.index.vectors.kinds import (
    DIM,
    IMAGES,
    LEAST_RECALL,
    SETUPS,
    Vector,
    best,
    drawn,
    enroll,
    found,
    keep_few,
    named,
    recall,
)


@pytest.fixture(params=SETUPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def setup(name: str, monkeypatch: pytest.MonkeyPatch) -> IndexSetup:
    if name == "signs":
        keep_few(monkeypatch)
    return SETUPS[name]


@pytest.fixture
def gallery(open_gallery: Open, setup: IndexSetup) -> LocalGallery:
    """A gallery of IMAGES images, named by their number, whose index is of the kind."""
    opened = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    enroll(opened, drawn(IMAGES, 2))
    opened.wait_for_index()
    opened.wait_for_snapshot()
    assert opened.index_state().kind == setup.kind
    return opened


def test_it_finds_what_brute_force_does(gallery: LocalGallery, name: str) -> None:
    held = named(drawn(IMAGES, 2))
    probes = drawn(20, 3)
    assert recall(gallery, held, probes) >= (1.0 if name.startswith("flat") else LEAST_RECALL)
    for probe in probes[:5]:
        [matches] = gallery.search(probe[np.newaxis], 10)
        for match in matches:
            [stored] = as_stored(held[match.record.image_id][np.newaxis])
            expected = (stored.astype(np.float64) * probe).sum()
            # Of what is stored, whatever the kind; float16 vectors are rounded once more.
            assert match.similarity == pytest.approx(expected, abs=1e-3 if name == "flat16" else 0)


def test_an_image_is_found_as_soon_as_it_is_enrolled_and_never_after_it_is_deleted(
    gallery: LocalGallery, setup: IndexSetup
) -> None:
    held = named(drawn(IMAGES, 2))
    # More than lie beside the codes: the oldest of them are coded.
    for first in range(0, 48, 6):
        enroll(gallery, drawn(48, 4)[first : first + 6], IMAGES + first)
        for number in range(IMAGES + first, IMAGES + first + 6):
            held[f"{number}"] = drawn(48, 4)[number - IMAGES]
            assert found(gallery, held[f"{number}"], 1) == [f"{number}"]
    if setup.recent < 100:
        assert gallery.index_state().recent == setup.recent
    for number in range(0, len(held), 12):
        gallery.delete(f"{number}")
        assert f"{number}" not in found(gallery, held.pop(f"{number}"), 30)
    assert gallery.count() == len(held)
    assert recall(gallery, held, drawn(20, 3)) >= LEAST_RECALL


def test_a_batch_is_answered_as_its_probes_alone(gallery: LocalGallery) -> None:
    probes = drawn(9, 5)
    together = gallery.search(probes, 10)
    for probe, matches in zip(probes, together, strict=True):
        [alone] = gallery.search(probe[np.newaxis], 10)
        assert [(m.record_id, m.similarity) for m in alone] == [(m.record_id, m.similarity) for m in matches]


def test_a_thousand_copies_are_one_candidate_and_come_in_order_of_enrollment(
    gallery: LocalGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = named(drawn(IMAGES, 2))
    probe = drawn(1, 6)[0]
    copy = as_stored(probe[np.newaxis])[0]
    enroll(gallery, np.repeat(copy[np.newaxis], 1000, axis=0), IMAGES)
    compared = []
    exact = gallery._vectors._exact
    if exact is not None:

        def counted(ids: NDArray[np.int64], normalisation: Normalisation) -> Any:
            compared.append(len(ids))
            return exact(ids, normalisation)

        monkeypatch.setattr(gallery._vectors, "_exact", counted)
    copies = [f"{number}" for number in range(IMAGES, IMAGES + 1000)]
    assert found(gallery, probe, 30) == copies[:30]
    # What is not a copy is found behind all of them.
    assert found(gallery, probe, 1005)[1000:] == best(held, probe, 5)
    assert sum(compared[:1]) <= 61
    gallery.delete(copies[0])
    gallery.delete(copies[500])
    assert found(gallery, probe, 2) == copies[1:3]
    assert copies[500] not in found(gallery, probe, 1000)


def test_a_filter_is_applied_inside_the_search(gallery: LocalGallery) -> None:
    held = named(drawn(IMAGES, 2))
    enroll(gallery, drawn(60, 7), IMAGES, camera_id="gate")
    gate = named(drawn(60, 7), IMAGES)
    few = {f"{number}": gate[f"{number}"] for number in range(IMAGES, IMAGES + 5)}
    for number in few:
        gallery.delete(number)
    enroll(gallery, np.stack(list(few.values())), IMAGES, camera_id="door")
    gate = {number: one for number, one in gate.items() if number not in few}
    for probe in drawn(10, 8):
        at_gate = found(gallery, probe, 10, where=Filter(camera_ids=frozenset({"gate"})))
        assert set(at_gate) <= set(gate)
        assert len(set(at_gate) & set(best(gate, probe, 10))) >= 9
        assert found(gallery, probe, 10, where=Filter(camera_ids=frozenset({"door"}))) == best(few, probe, 5)
        assert found(gallery, probe, 10, where=Filter(camera_ids=frozenset({"elsewhere"}))) == []
    others = found(gallery, drawn(1, 8)[0], 400, where=Filter(camera_ids=frozenset({"camera-7"})))
    assert sorted(others) == sorted(held)


def test_it_is_opened_again_with_what_it_holds(
    gallery: LocalGallery, open_gallery: Open, setup: IndexSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(gallery, drawn(10, 9), IMAGES)
    gallery.delete("7")
    gallery.snapshot()
    gallery.delete("8")
    enroll(gallery, drawn(5, 10), IMAGES + 10)
    probes = drawn(10, 3)
    before = [found(gallery, probe, 10) for probe in probes]
    gallery.close()
    # What was learned is read, not learned again.
    monkeypatch.setattr(Coded, "learned", lambda *_: pytest.fail("learned again"))
    reopened = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    assert reopened.index_state().kind == setup.kind
    after = [found(reopened, probe, 10) for probe in probes]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(before, after, strict=True)]) >= 9.8
    np.testing.assert_array_equal(reopened._vectors.ids(), reopened._store.changes.ids())


def test_codes_of_what_is_deleted_are_not_in_the_snapshot(gallery: LocalGallery, name: str) -> None:
    if name.startswith("flat"):
        assert len(b"".join(gallery._vectors.blocks())) < 1000
        return
    coded = gallery._vectors._engine
    assert isinstance(coded, Coded)
    gallery.delete("5")
    [row] = np.flatnonzero(coded._map.first == -1)
    arrays: dict[str, Any] = {}
    for section in coded.sections()[1]:
        parts = [np.asarray(piece()).reshape(-1) for piece in section.pieces]
        arrays[section.name] = np.concatenate(parts).reshape(section.shape)
    place = np.flatnonzero(arrays["rows"] == row)[0] if "rows" in arrays else row
    assert not arrays["codes"][place].any()
    assert np.count_nonzero(~arrays["codes"].any(axis=1)) == 1
    assert arrays["digests"][row] == 0
    assert 6 not in arrays["given"]  # the number of the image 5


def test_another_version_of_the_normalisation_makes_an_index_of_the_same_kind(
    open_gallery: Open, setup: IndexSetup
) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup, normalisation="on")
    offset = np.linspace(-0.3, 0.3, DIM)
    seen: dict[str, NDArray[Any]] = {"gate-1": drawn(IMAGES, 2), "gate-2": drawn(IMAGES, 2) + offset}
    for first, (camera, rows) in enumerate(seen.items()):
        rows = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
        enroll(gallery, rows, first * IMAGES, camera_id=camera)
    gallery.wait_for_index()
    gallery.cameras.renew_if_due()
    gallery.wait_for_index()
    version = gallery.cameras.normalisation()
    assert not version.is_raw
    assert gallery.index_state().kind == setup.kind
    records = gallery.page(limit=1000).records
    raw = {record.image_id: record for record in records}
    assert len(raw) == 2 * IMAGES
    with gallery._store.reading() as connection:
        data = connection.execute("SELECT data FROM descriptor ORDER BY record_id").fetchall()
    stored = np.frombuffer(b"".join(row[0] for row in data), "<f2").reshape(-1, DIM)
    rows = version.apply(as_stored(stored.astype(np.float32)), [record.camera_id for record in records])
    probe = drawn(1, 3)
    expected = np.argsort(-(rows.astype(np.float64) @ version.apply(probe, ["gate-1"])[0]))[:10]
    names = [records[row].image_id for row in expected]
    assert len(set(found(gallery, probe[0], 10, cameras=["gate-1"])) & set(names)) >= 9


def test_an_image_whose_camera_is_amended_has_another_vector_at_once_and_after_a_restart(
    open_gallery: Open, setup: IndexSetup
) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup, normalisation="on")
    enroll(gallery, drawn(IMAGES, 2), camera_id="gate-1")
    enroll(gallery, drawn(IMAGES, 12), IMAGES, camera_id="gate-2")
    gallery.cameras.wait()
    gallery.cameras.renew_if_due()
    gallery.wait_for_index()
    gallery.snapshot()
    version = gallery.cameras.normalisation()
    gallery.update("7", Amendment(camera_id="gate-2"))
    probe = drawn(IMAGES, 2)[7]
    expected = version.apply(np.stack([probe, as_stored(probe[np.newaxis])[0]]), ["gate-2"] * 2)
    similarity = float((expected[0].astype(np.float64) * expected[1]).sum())

    def matched(gallery: LocalGallery) -> float:
        assert gallery.cameras.normalisation().token == version.token
        [matches] = gallery.search(probe[np.newaxis], 600, cameras=["gate-2"])
        return next(match.similarity for match in matches if match.record.image_id == "7")

    assert matched(gallery) == pytest.approx(similarity, abs=1e-3 if setup.kind == "flat16" else 1e-9)
    gallery.close()
    reopened = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    assert matched(reopened) == pytest.approx(similarity, abs=1e-3 if setup.kind == "flat16" else 1e-9)


@pytest.mark.slow
def test_many_threads_may_search_enroll_and_delete_while_it_switches(
    open_gallery: Open, setup: IndexSetup
) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    descriptors = drawn(IMAGES, 2)
    wrong: list[str] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            for probe in descriptors[:5]:
                names = found(gallery, probe, 5)
                if len(set(names)) != len(names):
                    wrong.append(f"twice: {names}")

    searching = [threading.Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    try:
        for first in range(0, IMAGES, 25):
            enroll(gallery, descriptors[first : first + 25], first)
            gallery.delete(f"{first + 7}")
            assert found(gallery, descriptors[first + 24], 1) == [f"{first + 24}"]
        gallery.wait_for_index()
    finally:
        stop.set()
        for thread in searching:
            thread.join()
    assert wrong == []
    held = {n: one for n, one in named(descriptors).items() if int(n) % 25 != 7}
    assert gallery.count() == len(held)
    assert gallery.index_state().kind == setup.kind
    assert recall(gallery, held, drawn(10, 3)) >= LEAST_RECALL


def test_a_damaged_descriptor_is_left_out_of_answers_and_logged_once(
    open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=SETUPS["compressed"])
    enroll(gallery, drawn(IMAGES, 2))
    gallery.wait_for_index()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE descriptor SET data = zeroblob(192) WHERE record_id = 6")
        connection.commit()
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert "5" not in found(gallery, drawn(IMAGES, 2)[5], 10)
    assert [record.getMessage() for record in caplog.records if "'5' is damaged" in record.getMessage()] != []
    assert len(caplog.records) == 1


def test_a_flat_index_takes_at_most_a_fifth_more_than_its_vectors() -> None:
    for float16, size in ((False, 4), (True, 2)):
        flat = Flat(8192, float16=float16)
        flat.add(np.arange(50), np.ones((50, 8192), np.float32))
        assert 50 * 8192 * size <= flat.memory_bytes <= 1.2 * 50 * 8192 * size


def test_candidates_without_a_source_are_refused() -> None:
    def sample(size: int) -> Iterator[Vector]:
        yield drawn(100, 2)[:size]

    coded = Coded.learned("compressed", SETUPS["compressed"], sample, 100)
    vectors = Vectors(coded, RAW)
    vectors.add(np.arange(100), drawn(100, 2), sequence=None)
    vectors.reach(1)
    with pytest.raises(RuntimeError, match="no source"):
        vectors.search(drawn(1, 3), 5)


@pytest.mark.parametrize("kind", ["compressed", "hnsw"])
def test_a_file_of_codes_that_do_not_fit_together_is_refused(kind: Kind) -> None:
    from index.vectors.vectorfile import Content

    def sample(size: int) -> Iterator[Vector]:
        yield drawn(100, 2)[:size]

    setup = SETUPS[kind]
    coded = Coded.learned(kind, setup, sample, 100)
    coded.add(np.arange(100), drawn(100, 2))
    settings, sections = coded.sections()
    arrays = {
        section.name: np.concatenate([np.asarray(piece()).reshape(-1) for piece in section.pieces]).reshape(
            section.shape
        )
        if section.name != "others"
        else np.empty((0, 2), np.int64)
        for section in sections
    }
    assert Coded.read(Content(kind, settings, dict(arrays)), setup).count == 100
    for missing in arrays:
        with pytest.raises((ValueError, KeyError)):
            Coded.read(Content(kind, settings, {n: a for n, a in arrays.items() if n != missing}), setup)
    for cut in ("codes", "first", "given", "digests"):
        with pytest.raises(ValueError, match=r"shape|codes"):
            Coded.read(Content(kind, settings, arrays | {cut: arrays[cut][:-1]}), setup)
    if kind == "hnsw":
        links = arrays["neighbors"].copy()
        links[3] = 100
        with pytest.raises(ValueError, match="graph"):
            Coded.read(Content(kind, settings, arrays | {"neighbors": links}), setup)
