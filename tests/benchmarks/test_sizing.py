"""The sizing of a gallery on Milvus: it is computed from what is measured, and its page shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sizing import (
    KINDS,
    MEASURED,
    Assumptions,
    Bytes,
    count_of,
    markdown,
    measure,
    rows,
    size,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_bytes_an_image_are_those_of_a_real_gallery() -> None:
    found = measure(ROOT / "service" / "demo" / "images")
    assert (found.descriptor, found.strips, found.image) == (
        MEASURED.descriptor,
        MEASURED.strips,
        MEASURED.image,
    )
    # Pages of the database are full by chance.
    assert found.record == pytest.approx(MEASURED.record, rel=0.2)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no JPEG or PNG"):
        measure(tmp_path)


def test_the_page_shows_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    for line in markdown(rows([10**7, 10**8, 10**9])):
        assert line in page
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sizing", "--images", "10M"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(line in page for line in done.stdout.splitlines())


def test_memory_holds_what_the_kind_holds_of_each_image_in_every_copy() -> None:
    each = Bytes(descriptor=16_384, strips=4_096, image=10_000, record=0)
    memory = {kind: size(10**6, kind, each, Assumptions(replicas=1)).memory / 10**6 for kind in KINDS}
    assert memory["FLAT"] == 16_384
    assert memory["HNSW"] == 16_384 + 256
    assert memory["IVF_SQ8"] == 8_192
    assert memory["IVF_RABITQ"] == 1_024
    assert memory["DISKANN"] == pytest.approx(0.225 * 16_384)
    for kind in KINDS:
        one, three = (size(10**8, kind, each, Assumptions(replicas=count)) for count in (1, 3))
        assert three.memory == pytest.approx(3 * one.memory)
        assert three.objects == one.objects, "the object store has one copy"


def test_nodes_have_room_for_the_memory_and_there_is_one_for_each_copy() -> None:
    given = Assumptions(node_gib=64, filled=0.5, replicas=2)
    for kind in KINDS:
        for count in (1, 10**7, 10**9):
            found = size(count, kind, MEASURED, given)
            assert found.nodes >= given.replicas
            assert found.memory <= found.nodes * 64 * 1024**3 * 0.5
            assert found.cpus == found.nodes * 16


@pytest.mark.parametrize(("text", "count"), [("10M", 10**7), ("1B", 10**9), ("2.5k", 2500), ("7", 7)])
def test_numbers_are_read_with_their_unit(text: str, count: int) -> None:
    assert count_of(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1M", "x", "1T"])
def test_what_is_no_number_of_images_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no number of images|invalid literal|could not convert"):
        count_of(text)
