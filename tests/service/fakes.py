"""A small deterministic model in place of the real one, images for it, and a service made of both."""

from __future__ import annotations

import atexit
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from index import LocalGallery
from models.bundle import RERANKER, Bundle, write_manifest
from models.decoding.pool import DecodePool
from models.inputspec import InputSpec
from models.manifest import EMBEDDER, FileEntry, Manifest, RerankerEntry
from models.preprocessing import Pixels, normalise
from service.api.app import create_app
from service.server import listen, server_for
from service.settings import Settings
from service.transport.bounds import Bounds

SIDE = 16
SHAPE = (3, SIDE, SIDE)
INPUT = InputSpec(height=SIDE, width=SIDE)
DIM = 12
STRIPS = (2, 4)
FINGERPRINT = "f" * 64


class Embeddings(NamedTuple):
    descriptors: NDArray[np.float32]
    strips: NDArray[np.float16] | None


class FakeEmbedder:
    """The image's mean colours, quarter by quarter, as descriptor; the first of them again as strips."""

    def __init__(self, *, strips: bool = True) -> None:
        self.strips = strips
        self.batches: list[int] = []
        self.on_embed: Callable[[Pixels], None] = lambda _images: None

    def embed(self, images: Pixels) -> Embeddings:
        assert images.dtype == np.uint8
        self.batches.append(len(images))
        self.on_embed(images)
        half = SIDE // 2
        quarters = (
            normalise(images, INPUT)
            .reshape(len(images), 3, 2, half, 2, half)
            .mean(axis=(3, 5))
            .reshape(len(images), DIM)
        )
        shifted = quarters + 1e-3
        descriptors = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
        strips = quarters[:, :8].reshape(-1, *STRIPS).astype(np.float16) if self.strips else None
        return Embeddings(descriptors.astype(np.float32), strips)


class FakeReranker:
    """Euclidean distance of the strips, or whatever the test puts in its place."""

    candidates = 10

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.answer: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda distances: distances

    def distances(
        self, probes: NDArray[np.float16], candidates: NDArray[np.float16], similarities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        assert candidates.shape[:2] == similarities.shape
        assert 1 <= candidates.shape[1] <= self.candidates
        self.calls.append(candidates.shape[1])
        gaps = (candidates.astype(np.float32) - probes.astype(np.float32)[:, None]) ** 2
        return self.answer(np.sqrt(gaps.sum(axis=(2, 3))))


@dataclass
class FakeModels:
    bundle: Bundle
    embedder: FakeEmbedder
    reranker: FakeReranker | None
    runtime: str = "fake"
    streams: int = 1
    gpu_left_out: Mapping[str, str] = field(default_factory=dict)


def make_models(*, rerank: bool = True) -> FakeModels:
    manifest = Manifest(
        name="fake",
        input=INPUT,
        descriptor_dim=DIM,
        strips=STRIPS if rerank else None,
        network={},
        files={},
    )
    reranker = FakeReranker() if rerank else None
    return FakeModels(Bundle(Path("fake"), manifest, FINGERPRINT), FakeEmbedder(strips=rerank), reranker)


def write_bundle(folder: Path, name: str = "fake") -> Path:
    """A bundle on disk that `Bundle.load` accepts, though its files hold no model; each name has its own."""
    folder.mkdir(parents=True)
    files = {}
    for file in (EMBEDDER, RERANKER):
        (folder / file).write_bytes(f"no model of {name}".encode())
        files[file] = FileEntry.of(folder / file)
    manifest = make_models().bundle.manifest.model_copy(
        update={"name": name, "files": files, "reranker": RerankerEntry(candidates=10, config={})}
    )
    write_manifest(folder, manifest)
    return folder


def load_fakes(settings: Settings, bundle: Bundle) -> FakeModels:
    """In place of `service.resources.load_models`."""
    runtime = "fake" if settings.runtime == "auto" else settings.runtime
    return FakeModels(bundle, FakeEmbedder(), FakeReranker(), runtime)


def open_gallery(path: Path, *, fingerprint: str = FINGERPRINT, strips: bool = True) -> LocalGallery:
    return LocalGallery.open(
        path, fingerprint=fingerprint, descriptor_dim=DIM, strips_shape=STRIPS if strips else None
    )


def image_file(colour: tuple[int, int, int] = (200, 30, 30), kind: str = "PNG", **options: Any) -> bytes:
    """An image file with a colour in one half and darkness in the other."""
    image = Image.new("RGB", (32, 32), (10, 10, 10))
    image.paste(colour, (0, 0, 32, 16))
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


RED, GREEN, BLUE = (220, 20, 20), (20, 220, 20), (20, 20, 220)


@lru_cache
def decode_pool() -> DecodePool:
    """Processes that decode for all tests."""
    pool = DecodePool(2)
    atexit.register(pool.close)
    return pool


@dataclass
class Running:
    """A service on a real socket, and a client of it."""

    app: FastAPI
    models: FakeModels
    gallery: LocalGallery
    client: httpx.Client
    url: str

    def enroll(self, image: bytes | None = None, **fields: Any) -> httpx.Response:
        return self.client.post("/gallery", files={"image": ("x", image or image_file())}, data=fields)

    def query(self, image: bytes | None = None, **fields: Any) -> httpx.Response:
        return self.client.post("/query", files={"image": ("x", image or image_file())}, data=fields)


@contextmanager
def running(
    folder: Path,
    models: FakeModels | None = None,
    *,
    pool: DecodePool | None = None,
    await_ready: bool = True,
    at: int = 0,
    **settings: Any,
) -> Iterator[Running]:
    """Run a service in a thread, on a free port or `at` one."""
    models = models or make_models()
    gallery = open_gallery(folder / "gallery", strips=models.reranker is not None)
    app = create_app(
        Settings(data_dir=folder, **settings), models=models, gallery=gallery, pool=pool or decode_pool()
    )
    with gallery, serving(app, port=at) as url, httpx.Client(base_url=url, timeout=20) as client:
        if await_ready:
            wait_until_ready(client)
        yield Running(app, models, gallery, client, url)


@contextmanager
def serving(app: FastAPI, bounds: Bounds | None = None, port: int = 0) -> Iterator[str]:
    """Serve an application on a port of 127.0.0.1, a free one where none is named."""
    sock = listen("127.0.0.1", port)
    server = server_for(app, app.state.settings, bounds)
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def wait_until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.01)
    raise AssertionError("the service did not become ready")
