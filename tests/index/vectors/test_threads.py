"""FAISS has the threads that OMP_NUM_THREADS allows, also where the machine has many more cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os
os.cpu_count = lambda: 64
import numpy as np
from index.vectors.codes import Coded
from index.vectors.faisslib import faiss
from index.vectors.flat import Flat
from tests.index.vectors.kinds import DIM, SETUPS, drawn

asked = []
faiss.omp_set_num_threads = asked.append
rows, ids = drawn(200, 2), np.arange(200)
flats = [Flat(DIM), Flat(DIM, float16=True)]
coded = [
    Coded.learned(SETUPS[name].kind, SETUPS[name], lambda _: iter([rows]), len(rows))
    for name in ("compressed", "signs", "lists", "hnsw")
]
for index in (*flats, *coded):
    index.add(ids, rows)
    for probes in (rows[:1], rows[:70]):
        index.search(probes, 3, None)
        index.search(probes, 3, ids[::2])
print(len(asked), *sorted(set(asked)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("allowed", [1, 2])
def test_no_more_threads_are_asked_for_than_openmp_was_told(allowed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": f"{allowed}"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, *asked = map(int, done.stdout.split())
    assert count > 20
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else allowed
    assert max(asked) == min(allowed, cores)
