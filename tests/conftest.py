"""Long runs, which are left out unless `--minutes` says how long; what each mark took; an exported bundle."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.leftovers import end_with_this_process
from tests.servers.fixtures import milvus_url, own_milvus

if TYPE_CHECKING:
    from models.bundle import Bundle
    from tests.models.explainable import SmallBundle
    from tests.service.command_line import Command
    from training.export.bundle import Precision

__all__ = ["milvus_url", "own_milvus"]

# Before torch is imported. The tests' networks are so small that threads wait for each other longer than they
# compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Each HTTP client reads the authorities that it trusts, and the whole web's take 20 ms of a processor. Tests
# speak with this machine alone.
os.environ.setdefault(
    "SSL_CERT_FILE", str(Path(__file__).parent / "service" / "watching" / "hooks.example.pem")
)
# A background job of a shell ignores SIGINT, and so would all processes that tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Seconds that the tests of a mark may take together on 2 cores.
BUDGETS_S = {"browser": 90, "milvus": 150, "schemathesis": 90, "walkthrough": 90}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="run the tests marked soak too, each for so many minutes")
    parser.addoption("--seed", type=int, default=0, help="what long runs draw from; the same draws the same")


def pytest_configure() -> None:
    # Before the test processes of a parallel run are started, which have it from this one.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        end_with_this_process()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and have it leave alone what is there by then: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    # What ends with this process is to end as ever.
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # Whichever of them comes first waits for an export.
        if "small_bundle" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
        # Of a test that ran in another process, its properties come back, but not its marks.
        item.user_properties += [("mark", mark) for mark in BUDGETS_S if item.get_closest_marker(mark)]
    if config.getoption("--minutes") is not None:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    taken: Counter[str] = Counter()
    for report in reports:
        for key, value in getattr(report, "user_properties", ()):
            # What was deselected has properties too, and took no time.
            if key == "mark" and hasattr(report, "duration"):
                taken[str(value)] += report.duration
    for mark, seconds in sorted(taken.items()):
        terminalreporter.line(f"{mark}: {seconds:.0f} s of {BUDGETS_S[mark]}")


@pytest.fixture(autouse=True)
def _handlers_of_signals() -> Iterator[None]:
    """Take back what a command in this process does on a signal: a later test could not be interrupted."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `lka-reid` with these arguments in this process."""
    from tests.service.command_line import command_runner

    return command_runner(monkeypatch, capsys)


@pytest.fixture
def soak_s(request: pytest.FixtureRequest) -> float:
    """How long a test marked `soak` is to run, in s."""
    return 60 * float(request.config.getoption("--minutes") or 0)


@pytest.fixture
def source(request: pytest.FixtureRequest) -> random.Random:
    """What a test draws from, begun anew by `--seed`."""
    return random.Random(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> SmallBundle:
    """A copy of a small bundle in a folder: `small_bundle(folder, "int8", explainable=False, rerank=False)`.

    An export takes torch some 20 s, so each kind is exported once, for all test processes.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def write(
        folder: Path, precision: Precision = "fp32", *, explainable: bool = True, rerank: bool = True
    ) -> Bundle:
        from models.bundle import Bundle
        from tests.models.explainable import export_small

        kept = shared / f"small-{precision}-{explainable}-{rerank}"
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                export_small(kept, precision, explainable=explainable, rerank=rerank)
        return Bundle.load(shutil.copytree(kept, folder))

    return write
