"""Compressed indexes that compare signs before codes, and those without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index import LocalGallery
from index.vectors.codes import Coded
from tests.index.samples import Open
from tests.index.vectors.kinds import (
    DIM,
    IMAGES,
    LEAST_RECALL,
    SETUPS,
    drawn,
    enroll,
    keep_few,
    named,
    recall,
)


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
