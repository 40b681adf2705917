"""How the service fares, and what a key may do."""

from __future__ import annotations

from dataclasses import replace

from lka_reid_client.answers import AccessAnswer, Live, Ready, StatusAnswer
from lka_reid_client.call import Call
from lka_reid_client.calls.parsing import model


def live() -> Call[Live]:
    """Whether the process answers."""
    return Call("GET", "/health/live", model(Live), of_collection=False)


def ready() -> Call[Ready]:
    """Whether queries can be answered, by which bundle and runtime; a RefusedError says why not."""
    return Call("GET", "/health/ready", model(Ready), of_collection=False)


def await_ready() -> Call[Ready]:
    """The same once the service is ready, for which it has two minutes."""
    return replace(ready(), waits=True)


def status() -> Call[StatusAnswer]:
    """Readiness, bundle, queue, gallery, disk, latency by stage and last errors, for people."""
    return Call("GET", "/status", model(StatusAnswer), of_collection=False)


def access() -> Call[AccessAnswer]:
    """Whose key the client shows, and what it may do."""
    return Call("GET", "/access", model(AccessAnswer), of_collection=False)


def metrics() -> Call[str]:
    """What Prometheus reads."""
    return Call("GET", "/metrics", lambda response: response.content.decode("utf-8"), of_collection=False)
