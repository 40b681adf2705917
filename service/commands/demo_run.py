"""The demo: the service on real images, from start to a ranked answer."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from lka_reid_client.errors import ClientError, RefusedError, ServiceUnreachableError
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.intake.columns import Columns
from models.intake.table import TableError, read_table
from models.terminal import err, out
from models.wording import counted
from service.advice import command
from service.commands.console import matches_table, progress, timings_line
from service.remote.bulk_enroll import upload_all
from service.remote.http import ServiceClient
from service.remote.outcome import Fate
from service.remote.sources import Upload
from service.server import listen
from service.startup import CommandError

MANIFEST = Path(__file__).parents[1] / "demo" / "manifest.csv"
SERVE = (sys.executable, "-m", "service.cli", "serve")
HOST = "127.0.0.1"
POLL_SECONDS = 0.2
TOP_K = 10
COLUMNS = Columns(("path", "vehicle_id", "camera_id", "role"), optional=("vehicle_type",))


@dataclass(frozen=True)
class Probe:
    """An image to query with, and the vehicle on it."""

    path: Path
    vehicle_id: str
    camera_id: str


@dataclass(frozen=True)
class DemoImages:
    """The demo's images: what is enrolled, and probes."""

    uploads: list[Upload]
    probes: list[Probe]

    @classmethod
    def load(cls, manifest: Path) -> DemoImages:
        """Read a CSV manifest with the columns path, vehicle_id, camera_id, role (gallery or probe).

        Raises:
            CommandError: it is not there, or holds no gallery or no probe.
        """
        try:
            rows = [row.values for row in read_table(manifest, COLUMNS).rows]
        except TableError as error:
            raise CommandError(f"the demo's images are missing: {error}; install the whole package") from None
        uploads = [_upload(manifest, row) for row in rows if row["role"] == "gallery"]
        probes = [
            Probe(manifest.parent / row["path"], row["vehicle_id"], row["camera_id"])
            for row in rows
            if row["role"] == "probe"
        ]
        if not (uploads and probes):
            raise CommandError(f"{manifest} names no image with role gallery, or none with role probe")
        return cls(uploads, probes)


def _upload(manifest: Path, row: Mapping[str, str]) -> Upload:
    fields: dict[str, str | list[str]] = {"image_id": row["path"]}
    fields |= {name: row[name] for name in ("vehicle_id", "camera_id", "vehicle_type") if row.get(name)}
    return Upload(manifest.parent / row["path"], fields)


def run(port: int, data_dir: Path, manifest: Path = MANIFEST, bundle: Path = DEFAULT_BUNDLE) -> None:
    """Serve the images of a CSV manifest until SIGINT or SIGTERM, after one query has been shown.

    Raises:
        CommandError: what cannot be done and the remedy.
        BundleError: the shipped bundle is damaged.
    """
    images = DemoImages.load(manifest)
    # Each bundle's gallery has its own folder: a new bundle starts a new one, and an old one stays good.
    folder = data_dir / Bundle.load(bundle).fingerprint[:12]
    folder.mkdir(parents=True, exist_ok=True)
    listen(HOST, port).close()
    command = [
        *SERVE,
        "--host",
        HOST,
        "--port",
        str(port),
        "--data-dir",
        str(folder),
        "--bundle",
        str(bundle),
    ]
    with _stopping_by_signal(), _serving(command, data_dir / "service.log") as service:
        with ServiceClient(f"http://{HOST}:{port}") as client:
            _await_ready(client, service, data_dir / "service.log")
            out.print(f"The console is at [bold]{client.url}/[/]\n")
            show(client, images)
        out.print("\n[bold]The service keeps running; Ctrl-C ends it.[/]")
        code = service.wait()
    raise CommandError(f"the service ended by itself (status {code}); see {data_dir / 'service.log'}", 1)


def show(client: ServiceClient, images: DemoImages) -> None:
    """Enroll the gallery, query with the first probe, and say how to go on.

    Raises:
        CommandError: an image was refused, or the service went away.
    """
    try:
        with progress() as bar:
            task = bar.add_task("Enrolling the demo gallery", total=len(images.uploads))
            outcome = upload_all(client, images.uploads, 4, lambda done: bar.advance(task, done))
        if outcome.missing:
            first = min(outcome.not_enrolled)
            raise CommandError(
                f"{counted(outcome.missing, 'image was', 'images were')} not enrolled; "
                f"the first, {first.place}: {first.reason}",
                1,
            )
        probe = images.probes[0]
        answer = client.query(probe.path, top_k=TOP_K, rerank=True)
    except ClientError as error:
        raise CommandError(str(error), 1) from None
    counts = outcome.counts
    out.print(
        f"Gallery: {counted(counts[Fate.enrolled], 'image')} enrolled, "
        f"{counted(counts[Fate.already], 'was', 'were')} there already"
    )
    out.print(
        f"Probe: {escape(str(_short(probe.path)))}, vehicle {probe.vehicle_id} seen by {probe.camera_id}\n"
    )
    out.print(matches_table(answer, "Ranked answer (✓ the probe's vehicle)", probe.vehicle_id))
    out.print(timings_line(answer))
    another = images.probes[1 % len(images.probes)]
    curl = f"curl -F image=@{shlex.quote(str(_short(another.path)))} -F top_k=5 {client.url}/query"
    out.print(f"\nThe interface is described at [bold]{client.url}/docs[/]. Query with another image by:\n")
    out.print(f"  {escape(curl)}", soft_wrap=True)
    query = command("query", str(_short(another.path)), "--url", client.url)
    out.print(f"  {escape(query)}", soft_wrap=True)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def _serving(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        service = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            yield service
        finally:
            service.terminate()
            service.wait()


def _await_ready(client: ServiceClient, service: subprocess.Popen[bytes], log: Path) -> None:
    with err.status("Starting the service") as status:
        while True:
            try:
                service.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            else:
                raise CommandError(f"the service did not start: {_last_words(log)}")
            try:
                client.ready()
            except ServiceUnreachableError:
                continue
            except RefusedError as error:
                status.update(f"Starting the service: {error}")
                continue
            return


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return said[-1] if said else f"see {log}"


@contextmanager
def _stopping_by_signal() -> Iterator[None]:
    """End by SystemExit(0) on SIGINT and SIGTERM, so that what is open is closed in order."""

    def stop(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
