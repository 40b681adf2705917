"""What routes ask for, as types."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Query, Request

from index import DEFAULT, GalleryWatches
from service.access.audit import AuditEntry
from service.access.key import ApiKey
from service.api.context import RequestContext, context_of
from service.api.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.resources import Resources
from service.settings import Settings


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def _shared(request: Request) -> Resources:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.resources


async def _collection(
    collection: Annotated[
        str, Query(max_length=63, description="the collection that this is about", examples=["north"])
    ] = DEFAULT,
) -> str:
    return collection


async def _resources(
    resources: Annotated[Resources, Depends(_shared)], collection: Annotated[str, Depends(_collection)]
) -> Resources:
    # Whether the key may reach it, the guard has seen to.
    if collection == DEFAULT:
        return resources
    # In a thread: where replicas share collections, the name is looked up over the network.
    return await to_thread.run_sync(resources.of, collection, limiter=resources.gallery_limiter)


async def _watches(resources: Annotated[Resources, Depends(_resources)]) -> GalleryWatches:
    return resources.gallery.watches


async def _context(request: Request) -> RequestContext:
    return context_of(request)


async def _key(request: Request) -> ApiKey | None:
    key: ApiKey | None = request.scope["state"]["key"]
    return key


async def _caller(request: Request) -> str:
    caller: str = request.scope["state"]["caller"]
    return caller


async def _audit(request: Request) -> AuditEntry:
    entry: AuditEntry = request.state.audit
    return entry


SettingsInUse = Annotated[Settings, Depends(_settings)]
MetricsInUse = Annotated[Metrics, Depends(_metrics)]
OpenResources = Annotated[Resources, Depends(_resources)]
"""Of the collection that the request names."""
CollectionName = Annotated[str, Depends(_collection)]
WatchesInUse = Annotated[GalleryWatches, Depends(_watches)]
"""Of the collection that the request names; refused where its gallery has none."""
SharedResources = Annotated[Resources, Depends(_shared)]
"""For what is about no collection, or about all."""
Context = Annotated[RequestContext, Depends(_context)]
Audit = Annotated[AuditEntry, Depends(_audit)]
CallersKey = Annotated[ApiKey | None, Depends(_key)]
"""None where the service has no keys."""
Caller = Annotated[str, Depends(_caller)]
"""Who counts as one for limits: a key's id, or the group of an address without keys."""
