"""The application: `create_app` puts the pieces together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from index import Gallery
from models.decoding.pool import DecodePool
from service.access.audit import AuditError, AuditLog
from service.access.auditquota import MINUTE_S
from service.access.homes import audit_in, keys_in, open_store
from service.access.keyring import Keyring
from service.api import docs_page, openapi, problems
from service.api.lifecycle import Lifecycle
from service.api.middleware.etag import EtagMiddleware
from service.api.middleware.guard import Guard, Limits
from service.api.middleware.head import HeadMiddleware
from service.api.middleware.headers import HeadersMiddleware
from service.api.middleware.parameters import ParametersMiddleware
from service.api.middleware.prefix import PrefixMiddleware
from service.api.middleware.request import REQUEST_ID, RequestMiddleware
from service.api.middleware.upload import UploadMiddleware
from service.api.readiness import Readiness
from service.api.routes import (
    access,
    alerts,
    alterations,
    batches,
    cameras,
    collections,
    detect,
    explain,
    health,
    query,
    status,
    verdicts,
    watches,
)
from service.api.routes import gallery as gallery_routes
from service.api.uploads import Uploads
from service.console import routes as console
from service.inference.protocols import Models
from service.observability.errors import AnsweredErrors
from service.observability.metrics import Metrics
from service.resources import Resources
from service.settings import Settings, load_settings
from service.version import VERSION

log = structlog.get_logger(__name__)

DESCRIPTION = """
Vehicle re-identification in two stages. Enroll images of vehicles by `POST /gallery`; send an image to
`POST /query` and get the most similar enrolled ones, the first of them re-ordered by strip cross-attention.

```sh
curl -F image=@car.jpg -F vehicle_id=bus_0001 -F camera_id=cam1 http://127.0.0.1:8000/gallery
curl -F image=@probe.jpg -F top_k=5 http://127.0.0.1:8000/query
```

Where the service has API keys, add `-H "Authorization: Bearer $KEY"` (or `X-API-Key`).

Each route is there under `/v1`, too, for callers that name the version that they were written for: a change
that breaks them would come as `/v2` beside it.

Every error is `application/problem+json` (RFC 9457): `type` names its kind, `detail` says what to do, and
`request_id` (also the `X-Request-ID` header, which you may send yourself) finds it in the log.
"""

# As they are: `include_router` would make each of them anew for every application.
ROUTES: list[BaseRoute] = [
    route
    for router in (
        query.router,
        detect.router,
        batches.router,
        explain.router,
        gallery_routes.router,
        alterations.router,
        verdicts.router,
        watches.router,
        alerts.router,
        cameras.router,
        collections.router,
        access.router,
        status.router,
        health.router,
        docs_page.router,
        console.router,
    )
    for route in router.routes
]


def create_app(
    settings: Settings | None = None,
    *,
    models: Models | None = None,
    gallery: Gallery | None = None,
    pool: DecodePool | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The service as an ASGI application.

    It answers from the first moment, by 503 until its resources are open. `app.state.lifecycle.failure`
    says why where that fails, and why the embedder is lost where it is.

    Args:
        settings: read from the environment when not given.
        models: used in place of the bundle that is set.
        gallery: used in place of the one in the data directory, and left open at the end.
        pool: decodes in place of one of the service's own, and is left open at the end.
        on_failure: called when the resources cannot be opened, or the embedder is lost later.

    Raises:
        SettingsError: the environment holds a wrong value.
        KeyFileError: the file of API keys is there and cannot be used.
        SharedStoreError: the shared store does not answer, or does not keep what it takes.
    """
    settings = settings or load_settings()
    metrics = Metrics()
    held = max(settings.max_held_bytes, settings.max_body_bytes)
    # A batch in the embedder waits no more; the places for those that do are left to them.
    uploads = Uploads(
        settings.max_queue + settings.max_batch,
        held,
    )
    metrics.watch_uploads(lambda: uploads.taken)
    store = open_store(settings)
    keys = keys_in(settings, store)
    if store is not None:
        for warning in store.check():
            log.warning("shared_store", reason=warning)
    keys.watch()
    keyring = Keyring(keys)
    audit = audit_in(settings, store)

    def open_resources(on_step: Callable[[str], None]) -> Resources:
        resources = Resources.open(settings, metrics, models, gallery, pool, on_step, lifecycle.lose, store)
        try:
            audit.prepare()
        except BaseException:
            resources.close()
            raise
        return resources

    lifecycle = Lifecycle(open_resources, on_failure)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        lifecycle.start()
        summarising = asyncio.create_task(_summarise(audit))
        try:
            yield
        finally:
            await lifecycle.stop()
            summarising.cancel()
            audit.close()
            keys.close()
            if store is not None:
                store.close()

    app = FastAPI(lifespan=lifespan, routes=ROUTES, docs_url=None, openapi_url=None, redoc_url=None)
    app.openapi = description  # type: ignore[method-assign]
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.errors = AnsweredErrors()
    app.state.lifecycle = lifecycle
    app.state.keyring = keyring
    app.state.uploads = uploads
    app.state.readiness = Readiness(settings.ready_max_age_s)
    # From the inside out.
    app.add_middleware(EtagMiddleware)
    app.add_middleware(
        UploadMiddleware,
        uploads=uploads,
        max_bytes=(settings.max_body_bytes, min(settings.max_batch_bytes, held)),
        max_seconds=(settings.request_deadline_s, settings.batch_deadline_s),
    )
    app.add_middleware(ParametersMiddleware, describe=description)
    app.add_middleware(Guard, settings=settings, keyring=keyring, limits=Limits.of(settings), audit=audit)
    if settings.origins:
        # Outside the guard: a browser asks whether it may ask before it shows a key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Location", "Retry-After"],
        )
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    app.add_middleware(HeadersMiddleware)
    app.add_middleware(PrefixMiddleware, prefix=settings.root_path)
    problems.install(app)
    return app


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document, made once in a process: every application has the same routes."""
    return openapi.document("LKA-ReID", VERSION, DESCRIPTION, ROUTES)


async def _summarise(audit: AuditLog) -> None:
    """Each minute, have the audit log write what it only counted."""
    while True:
        await asyncio.sleep(MINUTE_S)
        try:
            await audit.take(audit.summarise)
        except AuditError as error:
            # The lines are kept; the next request is refused until they can be written.
            log.error("access_failed", reason=str(error))
