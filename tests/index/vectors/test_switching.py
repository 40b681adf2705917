"""Which kind of index a gallery has as it grows and shrinks, and what is served while it changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index.vectors.builder import Builder
from index.vectors.codes import Coded
from index.vectors.kind import IndexSetup, Kind
from tests.index.samples import Open
from tests.index.vectors.kinds import DIM, IMAGES, SETUPS, Vector, drawn, enroll, found


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
