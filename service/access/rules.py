"""The one table of what each route needs. A route that is missing here is not served."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from starlette.routing import compile_path

import service.access.paths  # noqa: F401 - what `path` stands for below
from service.access.key import KeyScope
from service.identifiers import MAX_IMAGE_ID


class Open(Enum):
    """Routes that need no scope: for everybody; for any key; or for any key unless a setting of this
    name opens them."""

    ALWAYS = "always"
    ANY_KEY = "any key"
    METRICS = "metrics_public"
    DOCS = "docs_public"


class Reach(Enum):
    """The collections that a route is about.

    One, which the URL's parameter `collection` names, else the default one; none; those that the key reaches,
    which the route sees to; or all, so that a key which is limited to some may not do it.
    """

    ONE = "one"
    NONE = "none"
    OWN = "own"
    ALL = "all"


@dataclass(frozen=True)
class Rule:
    """What a route needs.

    Attributes:
        method: HTTP method; HEAD needs what GET needs.
        path: the route's template.
        needs: a scope, or how open the route is.
        action: the word for it in the audit log; None where it is not written there.
        is_batch: whether its body holds many images.
        reach: the collections that it is about.
    """

    method: str
    path: str
    needs: KeyScope | Open
    action: str | None = None
    is_batch: bool = False
    reach: Reach = Reach.ONE
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])

    def named(self, path: str) -> str | None:
        """The collection that a path of this route names; None where it names none."""
        found = self.pattern.match(path)
        return found.groupdict().get("name") if found and self.path.startswith("/collections/") else None

    def image_id(self, path: str) -> str | None:
        """The image that a path of this route names, no longer than ids are; None where it names none."""
        found = self.pattern.match(path)
        image_id = found.groupdict().get("image_id") if found else None
        return image_id and image_id[:MAX_IMAGE_ID]


ONE_IMAGE = "/gallery/{image_id:path}"
ONE_PROBE = "/verdicts/{probe}"
ONE_WATCH = "/watches/{watch_id}"
DEAD_LETTERS = "/alerts/dead-letters"
ONE_CAMERA = "/cameras/{camera_id:path}"

# In the routers' order: the first that matches counts.
RULES = (
    Rule("POST", "/query", KeyScope.QUERY, "query"),
    Rule("POST", "/query/batch", KeyScope.QUERY, "query-batch", is_batch=True),
    Rule("POST", "/gallery/batch", KeyScope.ENROLL, "enroll-batch", is_batch=True),
    Rule("POST", "/detect", KeyScope.QUERY, "detect", reach=Reach.NONE),
    Rule("POST", "/explain", KeyScope.QUERY, "explain"),
    Rule("POST", "/gallery", KeyScope.ENROLL, "enroll"),
    # Whoever queries sees the images that match; only an admin lists them all, changes or deletes them.
    Rule("GET", "/gallery", KeyScope.ADMIN, "list"),
    Rule("DELETE", "/gallery", KeyScope.ADMIN, "delete-by-filter"),
    Rule("GET", f"{ONE_IMAGE}/image", KeyScope.QUERY, "image"),
    Rule("GET", ONE_IMAGE, KeyScope.QUERY, "record"),
    Rule("DELETE", ONE_IMAGE, KeyScope.ADMIN, "delete"),
    Rule("PATCH", ONE_IMAGE, KeyScope.ADMIN, "change"),
    Rule("GET", "/retention", KeyScope.ADMIN, "retention"),
    Rule("PUT", "/retention", KeyScope.ADMIN, "set-retention"),
    Rule("DELETE", "/retention", KeyScope.ADMIN, "forget-retention"),
    # Whoever sees matches says which are right; all verdicts together show what was searched for.
    Rule("POST", "/verdicts", KeyScope.QUERY, "verdict"),
    Rule("GET", "/verdicts", KeyScope.ADMIN, "verdicts"),
    Rule("GET", f"{ONE_PROBE}/image", KeyScope.ADMIN, "probe-image"),
    Rule("GET", ONE_PROBE, KeyScope.QUERY, "verdicts-of-probe"),
    Rule("DELETE", f"{ONE_PROBE}/{{image_id:path}}", KeyScope.QUERY, "undo-verdict"),
    # Watches show whom somebody looks for, and make the service call what a webhook names.
    Rule("POST", "/watches", KeyScope.ADMIN, "create-watch"),
    Rule("GET", "/watches", KeyScope.ADMIN, "watches"),
    Rule("GET", f"{ONE_WATCH}/image", KeyScope.ADMIN, "watch-image"),
    Rule("POST", f"{ONE_WATCH}/test", KeyScope.ADMIN, "test-watch"),
    Rule("GET", ONE_WATCH, KeyScope.ADMIN, "watch"),
    Rule("DELETE", ONE_WATCH, KeyScope.ADMIN, "remove-watch"),
    Rule("GET", "/alerts", KeyScope.ADMIN, "alerts"),
    Rule("GET", "/alerts/events", KeyScope.ADMIN, "listen"),
    Rule("GET", DEAD_LETTERS, KeyScope.ADMIN, "dead-letters"),
    Rule("POST", f"{DEAD_LETTERS}/{{alert_id}}/retry", KeyScope.ADMIN, "retry-dead-letter"),
    Rule("DELETE", f"{DEAD_LETTERS}/{{alert_id}}", KeyScope.ADMIN, "drop-dead-letter"),
    # Whoever enrolls says what a camera is.
    Rule("GET", "/cameras", KeyScope.ENROLL, "cameras"),
    Rule("POST", f"{ONE_CAMERA}/calibration", KeyScope.ENROLL, "calibrate"),
    Rule("DELETE", f"{ONE_CAMERA}/calibration", KeyScope.ENROLL, "forget-calibration"),
    Rule("GET", ONE_CAMERA, KeyScope.ENROLL, "camera"),
    Rule("GET", "/collections", KeyScope.QUERY, "collections", reach=Reach.OWN),
    Rule("POST", "/collections", KeyScope.ADMIN, "create-collection", reach=Reach.ALL),
    Rule("GET", "/collections/{name}", KeyScope.QUERY, "collection", reach=Reach.OWN),
    Rule("PUT", "/collections/{name}/quota", KeyScope.ADMIN, "set-quota", reach=Reach.ALL),
    Rule("DELETE", "/collections/{name}", KeyScope.ADMIN, "drop-collection", reach=Reach.ALL),
    Rule("GET", "/access", Open.ANY_KEY, reach=Reach.NONE),
    # No id of an image or vehicle stands in it.
    Rule("GET", "/status", Open.ANY_KEY, reach=Reach.OWN),
    # Whoever restarts or balances the service has no key; the answers hold nothing of the images.
    Rule("GET", "/health/live", Open.ALWAYS, reach=Reach.NONE),
    Rule("GET", "/health/ready", Open.ALWAYS, reach=Reach.NONE),
    # It names every collection, with what it holds.
    Rule("GET", "/metrics", Open.METRICS, reach=Reach.ALL),
    # The console asks for a key itself; its files are the same for everybody.
    Rule("GET", "/", Open.ALWAYS, reach=Reach.NONE),
    Rule("GET", "/console/{name}", Open.ALWAYS, reach=Reach.NONE),
    Rule("GET", "/docs", Open.DOCS, reach=Reach.NONE),
    Rule("GET", "/docs/{name}", Open.DOCS, reach=Reach.NONE),
    Rule("GET", "/openapi.json", Open.DOCS, reach=Reach.NONE),
)


def find(method: str, path: str) -> Rule | None:
    """The rule of a request; None where nothing is served."""
    method = "GET" if method == "HEAD" else method
    return next((rule for rule in RULES if rule.method == method and rule.pattern.match(path)), None)


def methods(path: str) -> list[str]:
    """The methods that are served at a path; HEAD wherever GET is."""
    found = {rule.method for rule in RULES if rule.pattern.match(path)}
    return sorted(found | {"HEAD"} if "GET" in found else found)
