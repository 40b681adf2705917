"""The gate before every route: who asks, whether they may, whether too often; and the audit log's line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from index import DEFAULT
from service.access import rules
from service.access.audit import AuditEntry, AuditError, AuditLog
from service.access.hosts import AllowedHosts
from service.access.key import ApiKey, KeyScope
from service.access.keyfile import KeyFileError
from service.access.keyring import Keyring
from service.access.loopback import is_address, is_loopback
from service.access.ratelimit import RateLimiter, address_group
from service.access.rules import Open, Reach, Rule
from service.access.sites import is_foreign
from service.api import problems
from service.api.context import context_of, path_of
from service.api.error_kinds import (
    COLLECTION_OUT_OF_REACH,
    FOREIGN_SITE,
    KEY_REQUIRED,
    RATE_LIMITED,
    SCOPE_MISSING,
)
from service.api.errors import ServiceError
from service.settings import Settings

REALM = 'Bearer realm="lka-reid"'
DEFAULT_PER_S = 100.0
COLLECTION = "collection"
MAX_COLLECTION = 63

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How often: each key, and each address that shows none."""

    keys: RateLimiter
    addresses: RateLimiter

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that are set: by default for keys, and for addresses beyond this machine."""
        given, burst = settings.rate_per_s, settings.rate_burst
        keys = DEFAULT_PER_S if given is None else given
        addresses = 0.0 if given is None and is_loopback(settings.host) else keys
        return cls(*(RateLimiter(rate, burst or max(1, math.ceil(2 * rate))) for rate in (keys, addresses)))


class Guard:
    """Lets a request pass to its route, before anything of its body is read.

    The order: who asks (401), how often (429), whether it is served (404, 405), whether they may (403),
    whether it can be written down (503).
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, keyring: Keyring, limits: Limits, audit: AuditLog
    ) -> None:
        self._app = app
        self._settings = settings
        self._keyring = keyring
        self._limits = limits
        self._audit = audit
        self._hosts = AllowedHosts(settings.hosts, addresses=settings.allow_anonymous)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        path = path_of(scope)
        rule = rules.find(scope["method"], path)
        scope["state"]["rule"] = rule
        try:
            key = self._admit(connection, rule)
            rule = rule or _not_served(path)
        except Exception as error:
            await _refuse(error, scope, receive, send)
            return
        scope["state"]["key"] = key
        scope["state"]["caller"] = key.id if key is not None else address_group(_address(connection))
        if rule.action is None:
            try:
                _permit(key, rule)
                _require_reach(key, rule, connection)
            except ServiceError as error:
                await _refuse(error, scope, receive, send)
                return
            await self._app(scope, receive, send)
        else:
            request_id = context_of(connection).request_id
            image_id = rule.image_id(path)
            entry = AuditEntry(rule.action, _address(connection), request_id, key, image_id)
            named = rule.named(path) or connection.query_params.get(COLLECTION)
            entry.collection = named and named[:MAX_COLLECTION]
            await self._record(entry, rule, connection, receive, send)

    def _admit(self, connection: HTTPConnection, rule: Rule | None) -> ApiKey | None:
        """Whoever asks, where they may ask at all; None where no key is needed."""
        # That an open path has no such method is no secret.
        rule = rule or rules.find("GET", path_of(connection.scope))
        if rule is not None and self._is_open(rule.needs):
            return None
        if not self._keyring.required:
            self._admit_without_key(connection)
            self._limit(self._limits.addresses, address_group(_address(connection)))
            return None
        presented = _presented(connection)
        key = None if presented is None else self._keyring.identify(presented)
        if key is None:
            self._limit(self._limits.addresses, address_group(_address(connection)))
            raise _unknown(is_presented=presented is not None)
        if key.is_expired(datetime.now(UTC)):
            self._limit(self._limits.addresses, address_group(_address(connection)))
            raise _expired(key)
        self._limit(self._limits.keys, key.id)
        return key

    def _is_open(self, needs: KeyScope | Open) -> bool:
        if isinstance(needs, KeyScope) or needs is Open.ANY_KEY:
            return False
        return needs is Open.ALWAYS or bool(getattr(self._settings, needs.value))

    def _admit_without_key(self, connection: HTTPConnection) -> None:
        server = connection.scope.get("server")
        beyond = server is not None and is_address(server[0]) and not is_loopback(server[0])
        if beyond and not self._settings.allow_anonymous:
            # `lka-reid serve` does not listen there; another server under this application may.
            raise _unknown(is_presented=False)
        if not self._hosts.allows(connection.headers.get("host", "")):
            also = " or an address" if self._settings.allow_anonymous else ", 127.0.0.1 or [::1]"
            raise ServiceError(
                FOREIGN_SITE,
                f"without API keys, the service answers only to localhost{also} as `Host`; "
                "LKA_REID_ALLOWED_HOSTS names other hosts that it answers to",
            )
        if is_foreign(connection.scope["method"], connection.headers, self._settings.origins):
            raise ServiceError(
                FOREIGN_SITE,
                "a page of another site may not do this; LKA_REID_CORS_ORIGINS names those that may",
            )

    def _limit(self, limiter: RateLimiter, caller: str) -> None:
        wait = limiter.take(caller)
        if wait:
            seconds = math.ceil(wait)
            raise ServiceError(
                RATE_LIMITED,
                f"requests come faster than is allowed; the next one is let in within {seconds} s",
                headers={"Retry-After": str(seconds)},
            )

    async def _record(
        self, entry: AuditEntry, rule: Rule, connection: HTTPConnection, receive: Receive, send: Send
    ) -> None:
        scope = connection.scope
        scope["state"]["audit"] = entry
        answered = failed = False

        async def recorded_send(message: Message) -> None:
            nonlocal answered, failed
            if message["type"] == "http.response.start":
                answered = True
                try:
                    await self._audit.take(self._audit.record, entry, message["status"])
                except Exception as error:
                    failed = True
                    await _refuse(error, scope, receive, send)
            if not failed:
                await send(message)

        try:
            try:
                _permit(entry.key, rule)
                _require_reach(entry.key, rule, connection)
                await self._audit.take(self._audit.check)
            except Exception as error:
                await _refuse(error, scope, receive, recorded_send)
                return
            await self._app(scope, receive, recorded_send)
        except BaseException:
            if not answered:
                await self._audit.take(self._audit.record, entry, 500)
            raise


def _presented(connection: HTTPConnection) -> str | None:
    kind, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return credentials.strip()
    return connection.headers.get("x-api-key")


def _unknown(*, is_presented: bool) -> ServiceError:
    detail = (
        "the API key is not known, or was revoked"
        if is_presented
        else "send an API key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`; "
        "the operator makes one with `lka-reid keys create`"
    )
    challenge = f'{REALM}, error="invalid_token"' if is_presented else REALM
    return ServiceError(KEY_REQUIRED, detail, headers={"WWW-Authenticate": challenge})


def _expired(key: ApiKey) -> ServiceError:
    return ServiceError(
        KEY_REQUIRED,
        f"the API key {key.id} expired at {key.expires:%Y-%m-%d %H:%M} UTC; the operator makes another with "
        "`lka-reid keys create`",
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    )


def _permit(key: ApiKey | None, rule: Rule) -> None:
    if key is None or not isinstance(rule.needs, KeyScope) or key.permits(rule.needs):
        return
    raise ServiceError(
        SCOPE_MISSING,
        f"this needs a key with scope {rule.needs}; this one has {', '.join(key.scopes)}",
        headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{rule.needs}"'},
    )


def _require_reach(key: ApiKey | None, rule: Rule, connection: HTTPConnection) -> None:
    """Raise COLLECTION_OUT_OF_REACH where the key is limited to other collections than this is about."""
    if key is None or key.collections is None or rule.reach in (Reach.NONE, Reach.OWN):
        return
    if rule.reach is Reach.ALL:
        detail = "this needs a key that is not limited to some collections"
    else:
        # Each, should there be several: what refuses that comes later.
        named = connection.query_params.getlist(COLLECTION) or [DEFAULT]
        if all(map(key.reaches, named)):
            return
        detail = f"this key does not reach the collection; it reaches {', '.join(key.collections)}"
    raise ServiceError(COLLECTION_OUT_OF_REACH, detail)


def _not_served(path: str) -> Rule:
    methods = rules.methods(path)
    if methods:
        raise HTTPException(405, headers={"Allow": ", ".join(methods)})
    raise HTTPException(404)


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "local"


async def _refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer by the problem of a foreseen error; raise another one."""
    if not problems.is_foreseen(error):
        raise error
    if isinstance(error, AuditError | KeyFileError):
        log.error("access_failed", reason=str(error))
    response = await problems.on_error(Request(scope), error)
    await response(scope, receive, send)
