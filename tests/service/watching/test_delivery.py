"""An alert is delivered once where its delivery could be noted."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from index import Alert, Collections, Record
from service.watching.delivery import Deliverer, Outcome
from service.watching.webhook import WebhookSender

NOW = datetime.now(UTC)
RECORD = Record("a", None, None, None, None, (), "model-a", NOW, "image/png")
ALERT = Alert(1, 1, "red", RECORD, 0.9, 0.8, NOW, "waiting", 0, NOW, None)


class SlowAlerts:
    """One alert, which is due; who asks again hears only after its delivery what was true before."""

    def __init__(self) -> None:
        self.alert = ALERT
        self.noted = threading.Event()
        self.asked = 0

    def due(self, *_: Any) -> list[Alert]:
        found = [self.alert] if self.alert.delivery == "waiting" else []
        self.asked += 1
        if self.asked > 1:
            assert self.noted.wait(20)
        return found

    def next_due(self) -> datetime | None:
        return self.alert.due_at

    def take(self, _: int) -> int | None:
        return self.alert.attempts if self.alert.delivery == "waiting" else None

    def delivered(self, _: int) -> None:
        self.alert = replace(self.alert, delivery="delivered", due_at=None)


def test_what_was_due_before_its_delivery_was_noted_is_not_delivered_again() -> None:
    alerts = SlowAlerts()
    watches = SimpleNamespace(alerts=alerts, webhook=lambda _: ("https://hooks.example", "secret"))
    collections = SimpleNamespace(items=lambda: [("default", SimpleNamespace(watches=watches))])
    sent: list[str] = []
    outcomes: list[Outcome] = []

    async def run() -> None:

        async def send(_url: str, _secret: str, message_id: str, _body: bytes) -> None:
            sent.append(message_id)
            deliverer.look()
            while alerts.asked < 2:
                await asyncio.sleep(0)

        def on_outcome(outcome: Outcome) -> None:
            outcomes.append(outcome)
            alerts.noted.set()

        sender = cast(WebhookSender, SimpleNamespace(send=send))
        deliverer = Deliverer(cast(Collections, collections), sender, on_outcome)
        task = asyncio.create_task(deliverer.run())
        while alerts.asked < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(asyncio.wait_for(run(), 30))
    assert sent == ["alert-default-1"]
    assert outcomes == ["delivered"]
