"""What the service opens: the gallery of the bundle that is set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index import Enrollment, GalleryError
from index.vectors.faisslib import faiss
from models.bundle import Bundle
from service.galleries import open_local_gallery
from service.settings import Settings
from service.startup import CommandError, clear_errors
from tests.index.gpu import stand_in
from tests.service import fakes
from tests.service.fakes import DIM, FINGERPRINT, STRIPS, make_models

FORMER = "e" * 64


@pytest.fixture
def bundle() -> Bundle:
    """One that supersedes another with the same embedder."""
    made = make_models().bundle
    return replace(made, manifest=made.manifest.model_copy(update={"supersedes": (FORMER,)}))


def _enroll_under(fingerprint: str, folder: Path) -> None:
    with fakes.open_gallery(folder, fingerprint=fingerprint) as gallery:
        gallery.enroll(
            Enrollment(
                image_id="a",
                descriptor=np.eye(1, DIM, dtype=np.float32)[0],
                strips=np.ones(STRIPS, np.float16),
                image=b"x",
                media_type="image/png",
            )
        )


def test_a_gallery_of_a_bundle_that_this_one_supersedes_is_taken_over(tmp_path: Path, bundle: Bundle) -> None:
    _enroll_under(FORMER, tmp_path)
    gallery = open_local_gallery(Settings(data_dir=tmp_path), bundle, tmp_path)
    try:
        assert gallery.get("a").fingerprint == FINGERPRINT
    finally:
        gallery.close()


def test_a_gallery_of_any_other_bundle_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    _enroll_under("d" * 64, tmp_path)
    with pytest.raises(GalleryError, match=f"embedded by the model with fingerprint {'d' * 64}.* re-embed "):
        open_local_gallery(Settings(data_dir=tmp_path), bundle, tmp_path)


def test_the_kind_of_index_and_what_searches_it_are_those_that_are_set(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in(monkeypatch, gpus=4, number=3)
    gallery = open_local_gallery(
        Settings(data_dir=tmp_path, index_kind="flat16", index_device="gpu", device_id=3), bundle, tmp_path
    )
    try:
        state = gallery.index_state()
        assert (state.kind, state.device) == ("flat16", "gpu")
        assert calls == [1]
    finally:
        gallery.close()


def test_a_gpu_of_a_number_that_is_not_there_is_left_out(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, gpus=2)
    gallery = open_local_gallery(Settings(data_dir=tmp_path, device_id=2), bundle, tmp_path)
    try:
        assert gallery.index_state().gpu_left_out == "FAISS finds no GPU 2, of 2"
    finally:
        gallery.close()


def test_a_gpu_that_is_set_and_cannot_be_used_ends_the_start_with_the_remedy(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with (
        pytest.raises(CommandError, match=r"FAISS finds no GPU.*lka-reid\[gpu\].*INDEX_DEVICE"),
        clear_errors(),
    ):
        open_local_gallery(Settings(data_dir=tmp_path, index_device="gpu"), bundle, tmp_path)
    gallery = open_local_gallery(Settings(data_dir=tmp_path), bundle, tmp_path)
    try:
        assert gallery.index_state().gpu_left_out == "FAISS finds no GPU"
    finally:
        gallery.close()
