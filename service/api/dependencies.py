"""What routes ask for, as types."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.access.audit import AuditEntry
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


async def _resources(request: Request) -> Resources:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.resources


async def _context(request: Request) -> RequestContext:
    return context_of(request)


async def _audit(request: Request) -> AuditEntry:
    entry: AuditEntry = request.state.audit
    return entry


SettingsInUse = Annotated[Settings, Depends(_settings)]
MetricsInUse = Annotated[Metrics, Depends(_metrics)]
OpenResources = Annotated[Resources, Depends(_resources)]
Context = Annotated[RequestContext, Depends(_context)]
Audit = Annotated[AuditEntry, Depends(_audit)]
