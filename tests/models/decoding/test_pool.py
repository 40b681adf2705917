"""Decoding in other processes: the same pixels, and whatever ends a process ends one image alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.decoding import DecodePoolError, ImageError, TogetherError, decode, job, process
from models.decoding.pool import TOGETHER_BYTES, DecodePool, grouped
from models.inputspec import InputSpec
from models.preprocessing import Pixels, prepare
from tests.models.decoding.samples import encoded, scene

SPEC = InputSpec(height=24, width=40, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
WHOLE = encoded(scene(), "JPEG")


def soon() -> float:
    """A deadline that nothing in these tests reaches."""
    return time.monotonic() + 60


def prepared(pool: DecodePool, *files: bytes) -> list[Pixels | ImageError]:
    """What a process of the pool makes of files together."""
    return pool.prepare(files, SPEC, soon()).result()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether there is such a process, and not only the record of one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2)
    yield pool
    pool.close()


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch, ended: list[str]) -> Iterator[DecodePool]:
    """One process, which does what a file says."""
    monkeypatch.setattr(process, "CHILD", "tests.models.decoding.obedient_child")
    pool = DecodePool(1, ended.append)
    yield pool
    pool.close()


def test_prepared_images_are_those_of_this_process_bit_for_bit(pool: DecodePool) -> None:
    other = encoded(scene().rotate(90))
    found = prepared(pool, WHOLE, b"%PDF-1.7", other)
    assert isinstance(found[0], np.ndarray)
    assert found[0].dtype == np.uint8
    assert np.array_equal(found[0], prepare(decode(WHOLE), SPEC))
    assert isinstance(found[1], ImageError)
    assert isinstance(found[2], np.ndarray)
    assert np.array_equal(found[2], prepare(decode(other), SPEC))


@pytest.mark.parametrize("size", [(48, 32), (1500, 1100)])
def test_images_are_those_of_this_process_bit_for_bit(pool: DecodePool, size: tuple[int, int]) -> None:
    data = encoded(scene().resize(size))
    assert np.array_equal(np.asarray(pool.decode(data, soon()).result()), np.asarray(decode(data)))


def test_many_images_come_back_to_whoever_sent_them(pool: DecodePool) -> None:
    shades = range(0, 250, 5)
    files = [encoded(Image.new("RGB", (16, 16), (shade, 0, 0))) for shade in shades]
    futures = [pool.decode(data, soon()) for data in files]
    assert [future.result().getpixel((3, 3)) for future in futures] == [(shade, 0, 0) for shade in shades]
    assert len(pool.pids) == 2


def test_an_event_loop_can_wait_for_an_image(pool: DecodePool) -> None:
    async def wait() -> Image.Image:
        return await asyncio.wrap_future(pool.decode(WHOLE, soon()))

    assert asyncio.run(wait()).size == scene().size


def test_what_is_no_image_is_refused_with_the_reason(pool: DecodePool) -> None:
    [found] = prepared(pool, b"%PDF-1.7")
    assert isinstance(found, ImageError)
    assert "format PDF, which is not decoded here" in str(found)
    with pytest.raises(ImageError, match="format PDF"):
        pool.decode(b"%PDF-1.7", soon()).result()


def test_a_deadline_ends_the_process_and_another_takes_its_place(
    obedient: DecodePool, ended: list[str]
) -> None:
    obedient.start()
    obedient.wait_until_ready()
    (first,) = obedient.pids
    late = obedient.decode(b"wait", time.monotonic() + 0.1)
    following = obedient.decode(WHOLE, soon())
    with pytest.raises(TimeoutError, match="deadline"):
        late.result()
    assert following.result().size == scene().size
    assert obedient.pids != [first]
    assert not alive(first)
    assert ended == ["was ended at a deadline"]


def test_an_image_that_waits_for_a_process_learns_of_its_deadline(obedient: DecodePool) -> None:
    long = obedient.decode(b"wait", soon())
    with pytest.raises(TimeoutError):
        obedient.decode(WHOLE, time.monotonic() + 0.1).result()
    with pytest.raises(TimeoutError):
        obedient.decode(WHOLE, time.monotonic() - 1).result()
    assert not long.done()


@pytest.mark.parametrize(
    ("file", "how"),
    [
        (b"crash", "SIGSEGV"),
        (b"leave", "status 3"),
        (b'say {"shape": [3, 9, 9]}', "SIGKILL"),
        *(
            pytest.param(lie, "SIGKILL", marks=pytest.mark.slow)
            for lie in (
                b'say {"shape": [3, -24, -40]}',
                b'say {"shape": "much"}',
                b"say [[[",
                b"say " + b"9" * 70_000,
            )
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_image_that_ends_its_process_twice_is_refused(
    obedient: DecodePool, ended: list[str], file: bytes, how: str
) -> None:
    hostile, honest = obedient.prepare([file], SPEC, soon()), obedient.prepare([WHOLE], SPEC, soon())
    [refusal] = hostile.result()
    assert isinstance(refusal, ImageError)
    assert f"ends the process that decodes it ({how})" in str(refusal)
    [pixels] = honest.result()
    assert isinstance(pixels, np.ndarray)
    assert np.array_equal(pixels, prepare(decode(WHOLE), SPEC))
    assert ended == [f"ended over an image ({how})"] * 2


@pytest.mark.parametrize("file", [b"crash", b"leave", b"spin", b'say {"shape": [3, 3, 24, 40]}', b"say {}"])
def test_images_that_end_their_process_together_are_not_blamed_for_one_of_them(
    obedient: DecodePool, ended: list[str], file: bytes
) -> None:
    with pytest.raises(TogetherError):
        prepared(obedient, WHOLE, file, WHOLE)
    assert len(ended) == 1
    assert len(prepared(obedient, WHOLE, WHOLE)) == 2


def test_an_image_that_takes_too_much_memory_costs_those_beside_it_nothing(
    obedient: DecodePool, ended: list[str]
) -> None:
    found = prepared(obedient, WHOLE, b"eat", WHOLE)
    assert [isinstance(one, ImageError) for one in found] == [False, True, False]
    assert ended == []


@pytest.mark.slow
def test_images_that_take_long_together_are_given_back_and_a_lone_one_is_not(
    obedient: DecodePool, ended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "TOGETHER_S", 0.1)
    with pytest.raises(TogetherError, match=r"2 images took a process more than 0\.1 s"):
        prepared(obedient, b"wait", WHOLE)
    assert ended == ["was ended as it was long about several images"]
    with pytest.raises(TimeoutError):
        obedient.prepare([b"wait"], SPEC, time.monotonic() + 0.5).result()
    with pytest.raises(TimeoutError):
        obedient.prepare([b"wait", WHOLE], SPEC, time.monotonic() + 0.05).result()


def test_files_are_grouped_by_number_and_bytes_and_a_large_one_is_alone() -> None:
    small, large = b"x" * 1000, b"x" * TOGETHER_BYTES
    groups = grouped([*[small] * 10, large, small, small, *[small] * 4], SPEC, 5)
    assert [len(group) for group in groups] == [5, 5, 1, 5, 1]
    assert [len(group) for group in grouped([small] * 20, SPEC, 99)] == [8, 8, 4]
    assert list(grouped([], SPEC, 8)) == []
    huge = InputSpec(height=1000, width=1000)
    assert [len(group) for group in grouped([small] * 3, huge, 8)] == [1, 1, 1]


def test_an_image_whose_process_is_killed_by_another_is_decoded_by_the_next(
    obedient: DecodePool, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    data = b"note " + str(note).encode()
    future = obedient.decode(data, soon())
    until(note.exists)
    until(lambda: note.read_text().endswith("\n"))
    os.kill(int(note.read_text()), signal.SIGKILL)
    until(lambda: len(note.read_text().split()) == 2)
    assert not future.done()


def test_an_idle_process_that_is_killed_costs_no_image(obedient: DecodePool) -> None:
    obedient.start()
    obedient.wait_until_ready()
    os.kill(obedient.pids[0], signal.SIGKILL)
    assert obedient.decode(WHOLE, soon()).result().size == scene().size


def test_an_image_that_takes_too_much_memory_is_refused_and_its_process_lives(
    obedient: DecodePool, ended: list[str]
) -> None:
    with pytest.raises(ImageError, match="takes more memory than an image is given"):
        obedient.decode(b"eat", soon()).result()
    assert obedient.decode(WHOLE, soon()).result().size == scene().size
    assert ended == []


@pytest.mark.slow
def test_an_image_that_takes_too_much_of_a_processor_is_refused(obedient: DecodePool) -> None:
    with pytest.raises(ImageError, match="takes more of a processor than one is given"):
        obedient.decode(b"spin", soon()).result()
    assert obedient.decode(WHOLE, soon()).result().size == scene().size


@pytest.mark.slow
def test_the_place_of_an_image_that_nobody_waits_for_is_free_when_its_process_has_ended(
    obedient: DecodePool, ended: list[str], tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    data = b"note " + str(note).encode()
    for number in range(1, 4):
        future = obedient.decode(data, soon())
        until(lambda: note.exists() and len(note.read_text().split()) == number)  # noqa: B023
        future.cancel()
        with pytest.raises(CancelledError):
            future.result()
        living = [pid for pid in map(int, note.read_text().split()) if alive(pid)]
        assert len(living) <= 1
    assert obedient.decode(WHOLE, soon()).result().size == scene().size
    assert not any(alive(pid) for pid in map(int, note.read_text().split()))
    assert ended == ["was ended as nobody waited for its image"] * 3


@pytest.mark.slow
def test_an_image_that_is_given_up_while_it_waits_takes_no_process(
    obedient: DecodePool, tmp_path: Path
) -> None:
    note = tmp_path / "pids"
    long = obedient.decode(b"wait", time.monotonic() + 0.5)
    given_up = obedient.decode(b"note " + str(note).encode(), soon())
    given_up.cancel()
    assert obedient.decode(WHOLE, soon()).result().size == scene().size
    assert long.done()
    assert not note.exists()


def test_closing_ends_every_process_and_tells_whoever_waits(obedient: DecodePool) -> None:
    obedient.start()
    obedient.wait_until_ready()
    pids = obedient.pids
    futures = [obedient.decode(b"wait", soon()) for _ in range(3)]
    obedient.close()
    for future in futures:
        with pytest.raises(DecodePoolError, match="stopped"):
            future.result()
    with pytest.raises(DecodePoolError, match="stopped"):
        obedient.decode(WHOLE, soon())
    assert not any(alive(pid) for pid in pids)


def test_processes_that_cannot_be_started_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", "models.decoding.absent")
    pool = DecodePool(1)
    try:
        pool.start()
        with pytest.raises(DecodePoolError, match=r"status 1\): ModuleNotFoundError.*absent"):
            pool.wait_until_ready()
        assert pool.fault is not None
        with pytest.raises(TimeoutError):
            pool.decode(WHOLE, time.monotonic() + 0.1).result()
    finally:
        pool.close()


PARENT = """
import sys, time
from models.decoding import process
from models.decoding.pool import DecodePool
process.CHILD = "tests.models.decoding.obedient_child"
pool = DecodePool(2)
pool.start()
pool.wait_until_ready()
pool.decode(b"wait", time.monotonic() + 3600)
while len(pool.pids) < 2:
    time.sleep(0.01)
print(*pool.pids, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(number)
        parent.wait()
    until(lambda: not any(alive(pid) for pid in pids))


def test_processes_yield_to_their_parent_where_processors_are_scarce(pool: DecodePool) -> None:
    pool.start()
    pool.wait_until_ready()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pool.pids} == {min(own + 5, 19)}


def test_signals_are_left_to_the_parent(pool: DecodePool) -> None:
    pool.start()
    assert pool.decode(WHOLE, soon()).result()
    until(lambda: len(pool.pids) == 2)
    pids = pool.pids
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert pool.decode(WHOLE, soon()).result()
    assert set(pool.pids) & set(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_knows_nothing_of_its_parents_environment(
    obedient: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKA_REID_KEY", "secret")
    assert obedient.decode(WHOLE, soon()).result()
    assert b"secret" not in Path(f"/proc/{obedient.pids[0]}/environ").read_bytes()
