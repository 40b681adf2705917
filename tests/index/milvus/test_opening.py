"""A gallery on Milvus opens for its own model, with an index that the server has, or says why it does not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import DamagedImageError, GalleryError
from index.milvus import (
    MilvusError,
    MilvusIndex,
    MilvusSetup,
    open_milvus_gallery,
)
from index.milvus.connection import connect, failures
from index.milvus.opening import collection_name
from tests.index.milvus.kept import HNSW, OnMilvus
from tests.index.samples import DIM, STRIPS, enrollment

OPENING: dict[str, Any] = {"fingerprint": "model-a", "descriptor_dim": DIM, "strips_shape": STRIPS}


@pytest.mark.milvus
def test_another_model_is_refused_and_one_that_gives_the_same_is_not(on_milvus: OnMilvus) -> None:
    on_milvus().enroll(enrollment("a"))
    with pytest.raises(GalleryError, match="fingerprint model-a, the bundle in use has fingerprint model-b"):
        on_milvus(fingerprint="model-b")
    name = {"collection": "d8-2x3", "open_companions": on_milvus.kept}
    with pytest.raises(GalleryError, match=r"stores descriptors float32 \[8\] and strips float16 \[2, 3\]"):
        open_milvus_gallery(on_milvus.setup, **(OPENING | name | {"strips_shape": None}))
    assert on_milvus(fingerprint="model-b", supersedes=["model-a"]).get("a").fingerprint == "model-b"


def test_normalising_cameras_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(GalleryError, match="LKA_REID_CAMERA_NORMALISATION is on"):
        open_milvus_gallery(MilvusSetup("http://nowhere:1", "/nowhere"), **OPENING, normalisation="on")


def test_a_milvus_that_does_not_answer_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    pytest.importorskip("pymilvus", reason="pymilvus is of the extra [milvus]; `make servers` installs it")
    setup = MilvusSetup("http://127.0.0.1:9", str(tmp_path / "objects"), timeout_s=0.5)
    with pytest.raises(MilvusError, match="LKA_REID_MILVUS_URL"):
        open_milvus_gallery(setup, **OPENING)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == "pymilvus":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MilvusError, match=r"lka-reid\[milvus\]"):
        connect("http://127.0.0.1:9", 0.5)


def test_nothing_of_milvus_is_imported_before_a_gallery_is_opened() -> None:
    code = (
        "import sys, index.milvus, index.objects; print([name for name in ('pymilvus', 'fsspec', 's3fs', "
        "'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("kind", "version", "said"),
    [
        ("GPU_CAGRA", "v2.3.5-lite", "GPU_CAGRA needs Milvus 2.4 or newer, and this one is v2.3.5-lite"),
        ("IVF_RABITQ", "2.5.4", "IVF_RABITQ needs Milvus 2.6 or newer"),
        ("ANNOY", "2.6.0", "'ANNOY' is none of Milvus that is known here; known are FLAT, HNSW"),
    ],
)
def test_an_index_that_a_release_does_not_know_is_refused_by_name(kind: str, version: str, said: str) -> None:
    with pytest.raises(GalleryError, match=said):
        MilvusIndex(kind).check(version)
    MilvusIndex("HNSW").check(version)


@pytest.mark.milvus
@pytest.mark.parametrize("index", [HNSW, MilvusIndex("IVF_SQ8", {"nlist": 4})])
def test_an_approximate_index_finds_and_its_parameters_reach_the_engine(
    on_milvus: OnMilvus, index: MilvusIndex
) -> None:
    beside = index.kind.lower()
    gallery = on_milvus(beside, setup={"index": index})
    gallery.enroll_many([enrollment(f"{n}") for n in range(40)])
    [[match]] = gallery.search(enrollment("7").descriptor[np.newaxis], k=1, strips=1)
    assert match.record.image_id == "7"
    assert match.similarity == pytest.approx(1.0)
    assert index.kind in str(gallery.index_state().engine)
    described = gallery._engine._client.describe_index(gallery._engine._name, "descriptor")
    assert {name: str(value) for name, value in index.build.items()}.items() <= described.items()
    with pytest.raises(GalleryError, match=f"index of kind {index.kind}, and FLAT was asked for"):
        on_milvus(beside)


@pytest.mark.milvus
def test_what_the_server_does_not_know_is_refused_by_the_open_gallery(on_milvus: OnMilvus) -> None:
    for kind in ("GPU_CAGRA", "IVF_RABITQ"):
        with pytest.raises(GalleryError, match=f"{kind} needs Milvus"):
            on_milvus("never_made", setup={"index": MilvusIndex(kind)})
    assert on_milvus().index_state().engine == "Milvus v2.3.5-lite, FLAT, float32"


@pytest.mark.milvus
def test_objects_that_are_not_as_they_were_written_are_not_given(on_milvus: OnMilvus) -> None:
    gallery = on_milvus()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    root = Path(on_milvus.setup.objects_url)
    [image] = root.rglob(f"image/{gallery.record_of('a')}")
    image.write_bytes(b"other")
    with pytest.raises(DamagedImageError, match="image"):
        gallery.image("a")
    image.unlink()
    with pytest.raises(DamagedImageError, match="image"):
        gallery.image("a")
    [strips] = root.rglob(f"strips/{gallery.record_of('b')}")
    strips.write_bytes(bytes(12))
    probe = enrollment("b").descriptor[np.newaxis]
    with pytest.raises(DamagedImageError, match="strips"):
        gallery.search(probe, k=1, strips=1)
    strips.unlink()
    with pytest.raises(DamagedImageError, match="strips"):
        gallery.search(probe, k=1, strips=1)
    assert len(gallery.search(probe, k=2)[0]) == 2


def test_two_collections_have_two_names() -> None:
    setup = MilvusSetup("http://127.0.0.1:9", "objects")
    names = [collection_name(setup, one) for one in ("a-b", "a_b", "a_mb", "a__b", "a-_b", "default")]
    assert len(set(names)) == len(names)
    with pytest.raises(MilvusError, match="prefix"):
        collection_name(replace(setup, prefix="1-a"), "default")


@pytest.mark.milvus
def test_a_collection_that_milvus_has_not_loaded_yet_is_a_fault(on_milvus: OnMilvus) -> None:
    gallery = on_milvus()
    assert gallery.fault() is None
    client, name = gallery._engine._client, gallery._engine._name
    client.release_collection(name)
    try:
        assert "not loaded" in (gallery.fault() or "")
    finally:
        client.load_collection(name)
    assert gallery.fault() is None


def test_an_error_without_words_says_what_grpc_says_of_it() -> None:
    grpc = pytest.importorskip("grpc", reason="it comes with pymilvus; `make servers` installs it")

    class Late(grpc.RpcError):  # type: ignore[misc, name-defined]
        def code(self) -> Any:
            return grpc.StatusCode.DEADLINE_EXCEEDED

        def details(self) -> str:
            return "Deadline Exceeded"

    said = r"asked of it: Deadline Exceeded \(DEADLINE_EXCEEDED\);"
    with pytest.raises(MilvusError, match=said), failures():
        raise Late
