"""What a service makes of what workers say of themselves."""

from __future__ import annotations

from service.queue.overview import Overview, WorkerEntry


def overview(*workers: WorkerEntry) -> Overview:
    return Overview("f", None, 0, 0.0, 0, workers, 1.0)


def test_what_workers_leave_out_on_their_gpus_is_told_once_each() -> None:
    said = ("CUDA graphs: x", None, "stream 2: out of memory", "CUDA graphs: x")
    workers = [WorkerEntry("f", "cuda-tf32", None, left_out) for left_out in said]
    state = overview(*workers).state(None)
    assert state.gpu_left_out == "CUDA graphs: x; stream 2: out of memory"
    assert state.runtime == "cuda-tf32"
    assert overview(WorkerEntry("f", "cpu", None)).state(None).gpu_left_out is None


def test_a_worker_s_entry_comes_back_from_redis_as_it_was() -> None:
    entry = WorkerEntry("f", "cuda-tf32", 12.5, "CUDA graphs: x")
    assert WorkerEntry.from_json(entry.to_json().encode()) == entry
    # A worker of an earlier version said nothing of its GPU.
    before = b'{"fingerprint": "f", "runtime": "cpu", "forward_ms": null}'
    assert WorkerEntry.from_json(before) == WorkerEntry("f", "cpu", None)
