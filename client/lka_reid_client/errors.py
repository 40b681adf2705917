"""What can go wrong between a client and a service, as one line each that says what to do."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx


class ClientError(Exception):
    """The service did not do what it was asked for; of what a server says, control characters are escaped."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ServiceUnreachableError(ClientError):
    """Nothing answers at the URL, or nothing that can be understood.

    Attributes:
        detail: the message without its remedy.
        remedy: what can be done about it; None where that is not said.
    """

    def __init__(self, detail: str, remedy: str | None = None) -> None:
        super().__init__(detail if remedy is None else f"{detail}; {remedy}")
        self.detail = detail
        self.remedy = remedy


class RefusedError(ClientError):
    """The service answered with a problem; the message is its detail, field by field where it has fields.

    Attributes:
        status: HTTP status code.
        differs: of an image id that is enrolled already: what is not as enrolled; None if that is not known.
        vehicles: what a frame shows, where it does not say which vehicle is meant; see `detect`.
        kind: one of `Kind`, or the name of a newer one; empty where the problem is not one of this service's.
        request_id: finds the request in the service's log; empty where it is not said.
        retry_after_s: s after which the service asks to come back; None where it does not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        differs: tuple[str, ...] | None = None,
        vehicles: Sequence[Mapping[str, Any]] = (),
        kind: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.differs = differs
        self.vehicles = vehicles
        self.kind = kind
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def saying(self, message: str) -> RefusedError:
        """The same refusal in other words."""
        return RefusedError(
            self.status,
            message,
            self.differs,
            self.vehicles,
            self.kind,
            self.request_id,
            self.retry_after_s,
        )


class InvalidCallError(ClientError, ValueError):
    """What was asked for cannot be sent as it is, and nothing was; the message says what is wrong."""


class AbandonedError(ClientError):
    """The client was stopped while it waited."""

    def __init__(self) -> None:
        super().__init__("interrupted")


def printable(text: str) -> str:
    r"""A text of any origin as a terminal or a log may get it, on one line.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def unreachable(url: str, error: Exception, timeout_s: float) -> ServiceUnreachableError:
    """What a request without an answer means and what can be done about it."""
    return ServiceUnreachableError(*_said(url, error, timeout_s))


def _said(url: str, error: Exception, timeout_s: float) -> tuple[str, str]:
    """What is wrong, and what to do."""
    reason = str(error) or type(error).__name__
    tls = _tls_error(error)
    match error:
        case _ if isinstance(tls, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {url} is not trusted ({tls.verify_message})",
                "name the file of its authority in SSL_CERT_FILE, and the host as the certificate does",
            )
        case _ if tls is not None:
            return f"{url} does not answer by TLS ({tls.reason or reason})", "is it http:// and not https://?"
        case httpx.ProxyError():
            return (
                f"the proxy on the way to {url} fails ({reason})",
                "see HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
            )
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return (
                f"no service answers at {url} ({reason})",
                "start one with `lka-reid serve`, or name its URL",
            )
        case httpx.TimeoutException():
            return (
                f"{url} did not answer within {timeout_s:g} s",
                f"see whether it is ready: {url}/health/ready",
            )
        case _:
            return (
                f"{url} broke off its answer, or what answers there is another service ({reason})",
                "see the service's log, or name another URL",
            )


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
