"""What a gallery promises of its searches, for each kind of index; brute force in numpy is the oracle."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
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
from index.vectors.builder import Builder
from index.vectors.codes import Coded
from index.vectors.flat import Flat
from index.vectors.kind import IndexSetup, Kind
from index.vectors.projection import kept, learn, turned
from index.vectors.rowmap import Digests, RowMap
from index.vectors.vectors import Vectors
from tests.index.samples import Open, enrollment

DIM = 96
VEHICLES = 40
IMAGES = 300
LEAST_RECALL = 0.97

Vector = NDArray[np.float32]

SETUPS: dict[str, IndexSetup] = {
    "flat": IndexSetup(kind="flat"),
    "flat16": IndexSetup(kind="flat16"),
    "compressed": IndexSetup(kind="compressed", train_from=50, width=32, recent=20, rescored=60),
    "signs": IndexSetup(kind="compressed", train_from=50, width=64, recent=20, rescored=60, signed_from=50),
    "lists": IndexSetup(kind="compressed", train_from=50, width=32, recent=20, rescored=60, ivf_from=100),
    "hnsw": IndexSetup(kind="hnsw", train_from=50, width=32, recent=20, rescored=60),
}


def drawn(count: int, seed: int) -> Vector:
    """Descriptors of a few vehicles, many images each: as alike as those of an embedder."""
    random = np.random.default_rng(1)
    vehicles = random.standard_normal((VEHICLES, DIM)) * np.linspace(3, 0.2, DIM)
    random = np.random.default_rng(seed)
    images = vehicles[random.integers(0, VEHICLES, count)] + 0.5 * random.standard_normal((count, DIM))
    return np.asarray(images / np.linalg.norm(images, axis=1, keepdims=True), np.float32)


@pytest.fixture(params=SETUPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def setup(name: str, monkeypatch: pytest.MonkeyPatch) -> IndexSetup:
    if name == "signs":
        keep_few(monkeypatch)
    return SETUPS[name]


def keep_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let signs leave so few rows that a small gallery is searched by them."""
    for constant, value in {"KEPT_A_ROW": 2, "WORTH": 1}.items():
        monkeypatch.setattr(f"index.vectors.signs.{constant}", value)


@pytest.fixture
def gallery(open_gallery: Open, setup: IndexSetup) -> LocalGallery:
    """A gallery of IMAGES images, named by their number, whose index is of the kind."""
    opened = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    enroll(opened, drawn(IMAGES, 2))
    opened.wait_for_index()
    opened.wait_for_snapshot()
    assert opened.index_state().kind == setup.kind
    return opened


def enroll(gallery: LocalGallery, descriptors: Vector, first: int = 0, **changes: Any) -> None:
    gallery.enroll_many(
        [
            enrollment(f"{first + number}", descriptor=descriptor, strips=None, **changes)
            for number, descriptor in enumerate(descriptors)
        ]
    )


def best(descriptors: dict[str, Vector], probe: Vector, k: int) -> list[str]:
    """The names of the k most similar, of equal ones the first; by what is stored of them."""
    stored = as_stored(np.stack(list(descriptors.values())))
    similarities = (stored.astype(np.float64) * probe).sum(axis=1)
    return [list(descriptors)[row] for row in np.argsort(-similarities, kind="stable")[:k]]


def found(gallery: LocalGallery, probe: Vector, k: int, **options: Any) -> list[str]:
    [matches] = gallery.search(probe[np.newaxis], k, **options)
    return [match.record.image_id for match in matches]


def named(descriptors: Vector, first: int = 0) -> dict[str, Vector]:
    return {f"{first + number}": descriptor for number, descriptor in enumerate(descriptors)}


def recall(gallery: LocalGallery, held: dict[str, Vector], probes: Vector, k: int = 10) -> float:
    """Share of the k nearest that are found, of each probe in the mean."""
    shares = [len(set(found(gallery, one, k)) & set(best(held, one, k))) / k for one in probes]
    return float(np.mean(shares))


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


def signed(gallery: LocalGallery, name: str = "signs") -> Any:
    """The signs of its codes; None where the setup is of another name."""
    coded = gallery._vectors._engine
    assert (isinstance(coded, Coded) and coded._signs is not None) == (name == "signs")
    return coded._signs if isinstance(coded, Coded) else None


def test_signs_keep_what_is_near_and_codes_choose_among_it(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch)
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=SETUPS["signs"])
    enroll(gallery, drawn(IMAGES, 2))
    gallery.wait_for_index()
    signs = signed(gallery)
    coded = gallery._vectors._engine
    assert isinstance(coded, Coded)
    assert signs._index.ntotal == coded._index.ntotal
    short = np.ascontiguousarray(drawn(5, 3) @ coded._directions.T)
    by_codes = coded._index.search(short, 10)[1]
    monkeypatch.setattr("index.vectors.signs.KEPT_A_ROW", 6)
    by_signs = signs.nearest(short, 10, IMAGES, None)
    shares = [len(set(a) & set(b)) for a, b in zip(by_codes.tolist(), by_signs.tolist(), strict=True)]
    assert np.mean(shares) >= 9.5
    # Among so few rows that all of their codes are compared as quickly, they are.
    assert signs.nearest(short, 10, 59, None) is None
    monkeypatch.setattr("index.vectors.signs.KEPT_A_ROW", IMAGES // 10)
    np.testing.assert_array_equal(signs.nearest(short, 10, IMAGES, None), by_codes)


def test_signs_follow_codes_and_are_made_of_those_of_a_file(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch)
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=SETUPS["signs"])
    enroll(gallery, drawn(60, 2))
    gallery.wait_for_index()
    first_rows = signed(gallery)._index.ntotal
    for first in range(60, IMAGES, 30):
        enroll(gallery, drawn(IMAGES, 2)[first : first + 30], first)
    gallery.wait_for_index()
    signs = signed(gallery)
    assert signs._index.ntotal == gallery._vectors._engine._index.ntotal > first_rows
    held = gallery._vectors.memory_bytes
    assert signs.memory_bytes == signs._index.ntotal * (64 // 8 + 8)
    for number in range(0, 60, 2):
        gallery.delete(f"{number}")
    left = {n: one for n, one in named(drawn(IMAGES, 2)).items() if int(n) >= 60 or int(n) % 2}
    before = recall(gallery, left, drawn(20, 3))
    assert before >= 0.9
    gallery.snapshot()
    gallery.close()
    reopened = open_gallery(descriptor_dim=DIM, strips_shape=None, index=SETUPS["signs"])
    again = signed(reopened)
    assert again._index.ntotal == reopened._vectors._engine._index.ntotal
    assert reopened._vectors.memory_bytes <= held
    assert recall(reopened, left, drawn(20, 3)) >= before - 0.02
    reopened._vectors.clear()
    assert again._index.ntotal == 0


def test_an_index_of_an_earlier_version_is_searched_as_it_was_and_made_anew_with_signs(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch)
    setup = SETUPS["signs"]
    with monkeypatch.context() as earlier:
        earlier.setattr("index.vectors.projection.turned", lambda directions: directions)
        gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
        enroll(gallery, drawn(IMAGES, 2))
        gallery.wait_for_index()
        gallery._vectors._engine._turned = False  # type: ignore[union-attr]
        gallery.snapshot()
        gallery.close()
    with monkeypatch.context() as later:
        later.setattr(Coded, "outgrown", False)
        gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
        gallery.wait_for_index()
        signed(gallery, "none")
        assert recall(gallery, named(drawn(IMAGES, 2)), drawn(20, 3)) >= LEAST_RECALL
        gallery.close()
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    gallery.wait_for_index()
    assert signed(gallery)._index.ntotal >= IMAGES - setup.recent
    assert recall(gallery, named(drawn(IMAGES, 2)), drawn(20, 3)) >= LEAST_RECALL


def test_codes_of_few_images_have_no_signs_until_there_are_more(open_gallery: Open) -> None:
    setup = replace(SETUPS["signs"], signed_from=100, recent=5)
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    enroll(gallery, drawn(60, 2))
    gallery.wait_for_index()
    signed(gallery, "none yet")
    for first in range(60, 130, 5):
        enroll(gallery, drawn(IMAGES, 2)[first : first + 5], first)
    signs = signed(gallery)
    assert signs._index.ntotal == gallery._vectors._engine._index.ntotal >= 100


def test_lists_are_made_and_given_up_as_a_gallery_grows_and_shrinks() -> None:
    def sample(size: int) -> Iterator[Vector]:
        yield drawn(IMAGES, 2)[:size]

    setup = SETUPS["lists"]
    listed = Coded.learned("compressed", setup, sample, IMAGES)
    plain = Coded.learned("compressed", replace(setup, ivf_from=1000), sample, IMAGES)
    for coded, held, outgrown in ((listed, 51, False), (plain, 51, False), (listed, 49, True)):
        coded.clear()
        coded.add(np.arange(held), drawn(held, 2))
        assert coded.outgrown == outgrown
    few = Coded.learned("compressed", setup, sample, 99)
    few.add(np.arange(99), drawn(99, 2))
    assert not few.outgrown
    few.add(np.arange(99, 101), drawn(2, 4))
    assert few.outgrown


def test_turned_directions_are_of_the_same_span() -> None:
    directions = learn(drawn(300, 2), 24)
    other = turned(directions)
    np.testing.assert_allclose(other @ other.T, np.eye(24), atol=1e-4)
    vectors = drawn(20, 3)
    np.testing.assert_allclose(
        np.linalg.norm(vectors @ other.T, axis=1), np.linalg.norm(vectors @ directions.T, axis=1), atol=1e-4
    )
    sizes = np.square(vectors @ other.T).mean(axis=0)
    assert sizes.max() / sizes.mean() < np.square(vectors @ directions.T).mean(axis=0).max() / sizes.mean()


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


def test_a_kind_is_chosen_by_size_and_kept_until_half_of_it_is_left() -> None:
    setup = IndexSetup(flat16_from=100, compressed_from=1000, train_from=10)
    kinds: list[Kind] = [setup.choose(count) for count in (0, 99, 100, 999, 1000)]
    assert kinds == ["flat", "flat", "flat16", "flat16", "compressed"]
    assert setup.choose(500, "compressed") == "compressed"
    assert setup.choose(499, "compressed") == "flat16"
    assert setup.choose(50, "flat16") == "flat16"
    assert setup.choose(49, "flat16") == "flat"
    hnsw = IndexSetup(kind="hnsw", train_from=10)
    assert [hnsw.choose(9), hnsw.choose(10), hnsw.choose(5, "hnsw"), hnsw.choose(4, "hnsw")] == [
        "flat",
        "hnsw",
        "hnsw",
        "flat",
    ]


def test_a_gallery_grows_into_codes_and_shrinks_out_of_them(open_gallery: Open) -> None:
    setup = IndexSetup(kind="auto", flat16_from=60, compressed_from=120, train_from=50, width=32, recent=10)
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    kinds = []
    for first in range(0, 160, 40):
        enroll(gallery, drawn(IMAGES, 2)[first : first + 40], first)
        gallery.wait_for_index()
        kinds.append(gallery.index_state().kind)
    assert kinds == ["flat", "flat16", "compressed", "compressed"]
    for number in range(20, 160):
        gallery.delete(f"{number}")
    gallery.wait_for_index()
    assert gallery.index_state().kind == "flat"
    assert sorted(found(gallery, drawn(1, 3)[0], 100)) == sorted(f"{n}" for n in range(20))


def test_codes_are_made_anew_when_many_of_their_images_are_gone(open_gallery: Open) -> None:
    setup = SETUPS["compressed"]
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    enroll(gallery, drawn(IMAGES, 2))
    gallery.wait_for_index()
    for number in range(IMAGES // 2):
        gallery.delete(f"{number}")
    gallery.wait_for_index()
    assert gallery._vectors.wasted < 0.3
    assert gallery._vectors.count == IMAGES - IMAGES // 2


def test_an_index_that_cannot_be_made_leaves_the_one_that_is(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = SETUPS["compressed"]
    gallery = open_gallery(descriptor_dim=DIM, strips_shape=None, index=setup)
    with monkeypatch.context() as broken:

        def fail(*_: Any) -> None:
            raise MemoryError

        broken.setattr(Builder, "empty", fail)
        enroll(gallery, drawn(60, 2))
        gallery.wait_for_index()
    assert "the vector index stays as it is" in caplog.text
    assert gallery.index_state().kind == "flat"
    assert found(gallery, drawn(60, 2)[5], 1) == ["5"]
    # Tried again when the gallery has grown.
    enroll(gallery, drawn(IMAGES, 2)[60:100], 60)
    gallery.wait_for_index()
    assert gallery.index_state().kind == "compressed"


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


def test_directions_keep_more_of_vectors_than_a_random_choice_does() -> None:
    vectors = drawn(400, 2)
    directions = learn(vectors[:300], 24)
    np.testing.assert_allclose(directions @ directions.T, np.eye(24), atol=1e-4)
    singular = np.linalg.svd(vectors[:300], compute_uv=False)
    best_possible = float((singular[:24] ** 2).sum() / (singular**2).sum())
    assert kept(vectors[:300], directions) == pytest.approx(best_possible, rel=1e-2)
    assert kept(vectors[300:], directions) > 0.75
    np.testing.assert_array_equal(learn(vectors, DIM), np.eye(DIM, dtype=np.float32))


def test_rows_know_their_ids_through_copies_deletions_and_numbers_out_of_order() -> None:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((30, 4)).astype(np.float32)
    rows = RowMap()
    held: dict[int, int] = {}

    def check(rows: RowMap) -> None:
        assert rows.ids().tolist() == sorted(held)
        assert rows.count == len(held)
        assert rows.dead == np.count_nonzero(rows.first == -1)
        ids = np.array([*held, 999], np.int64)
        of = rows.rows_of(ids)
        assert of[-1] == -1
        for record_id, row in zip(ids[:-1].tolist(), of[:-1].tolist(), strict=True):
            members = rows.members(row)
            same = sorted(i for i, vector in held.items() if vector == held[record_id])
            assert same == ([record_id] if members is None else members.tolist())

    for step in range(60):
        fresh = [int(i) for i in random.permutation(90)[:8] if int(i) not in held]
        chosen = random.integers(0, len(vectors), len(fresh))
        rows.add(np.array(fresh, np.int64), vectors[chosen])
        held |= dict(zip(fresh, chosen.tolist(), strict=True))
        gone = random.permutation(list(held))[: min(len(held), 7)]
        rows.remove(gone)
        for record_id in gone.tolist():
            del held[record_id]
        if step % 10 == 0:
            check(rows)
            rows = RowMap(**rows.arrays())
            check(rows)
    with pytest.raises(RuntimeError, match="it held 0"):
        rows.remove(np.array([999]))


def test_digests_are_found_before_and_after_they_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.vectors.rowmap.OVERLAY", 5)
    digests = np.random.default_rng(0).integers(1, 2**63, 40).astype(np.uint64)
    known = Digests(digests[:10])
    for row in range(10, 40):
        known.put(int(digests[row]), row)
    assert [known.find(int(digest)) for digest in digests] == list(range(40))
    assert known.find(1) == -1


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
