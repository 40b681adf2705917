"""Delivering one message to a webhook: signed, to a checked address, within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx

from service.version import VERSION
from service.watching.address import RefusedWebhookError, resolve
from service.watching.signature import sign

CONNECT_S = 3.0
TOTAL_S = 10.0
"""s from the question for the address to the answer's head."""


class DeliveryError(Exception):
    """A message was not accepted; the message says why, without the webhook's path or secret."""


class WebhookSender:
    """Sends messages to webhooks. An answer's body is not read, and a redirect is not followed.

    Args:
        private: whether webhooks may lead to private addresses, and be plain HTTP.
        clock: s since 1970.
    """

    def __init__(self, *, private: bool, clock: Callable[[], float] = time.time) -> None:
        self._private = private
        self._clock = clock
        self._made: httpx.AsyncClient | None = None

    async def send(self, url: str, secret: str, message_id: str, body: bytes) -> None:
        """Deliver a message; it is accepted where this returns.

        Args:
            url: of the webhook.
            secret: that the message is signed with.
            message_id: the same each time that the message is sent.
            body: JSON.

        Raises:
            DeliveryError: it was not accepted.
        """
        try:
            async with asyncio.timeout(TOTAL_S):
                status = await self._post(url, secret, message_id, body)
        except TimeoutError:
            raise DeliveryError(f"no answer within {TOTAL_S:g} s") from None
        except RefusedWebhookError as error:
            raise DeliveryError(f"the webhook is refused: {error}") from None
        except OSError:
            raise DeliveryError("the host's name has no address") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError(f"it could not be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            redirects = ", which is a redirect and not followed" if 300 <= status < 400 else ""
            raise DeliveryError(f"it answered {status}{redirects}")

    async def close(self) -> None:
        """Close what is open."""
        if self._made is not None:
            await self._made.aclose()

    @property
    def _client(self) -> httpx.AsyncClient:
        # Made for the first message: it reads the whole web's authorities, and most services have no webhook.
        if self._made is None:
            # No connection is used again: it was made to prove another name than the next message's host,
            # which may be at the same address. No proxy either, which would ask for the address itself.
            self._made = httpx.AsyncClient(
                timeout=httpx.Timeout(TOTAL_S, connect=CONNECT_S),
                limits=httpx.Limits(max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
            )
        return self._made

    async def _post(self, url: str, secret: str, message_id: str, body: bytes) -> int:
        target = await resolve(url, private=self._private)
        timestamp = int(self._clock())
        request = self._client.build_request(
            "POST",
            target.url,
            content=body,
            headers={
                "Host": target.host,
                "Content-Type": "application/json",
                "User-Agent": f"lka-reid/{VERSION}",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(secret, message_id, timestamp, body),
            },
            extensions={} if target.name is None else {"sni_hostname": target.name},
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()
        return response.status_code
