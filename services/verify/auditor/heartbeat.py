"""Report the verdict outside Vigie: a heartbeat while all is well, an alarm otherwise.

Both are HTTP requests to foreign services: a dead-man's switch that alarms without heartbeats, and
a service that calls people (ntfy, a chat hook, an SMS gateway). Neither uses Vigie's own delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx2 as httpx
import structlog

from services.runtime.secrets.signing import SigningKeyInvalid
from services.verify.auditor.verdict import Verdict

HEARTBEAT_INTERVAL_S: Final = 60.0
ALARM_INTERVAL_S: Final = 900.0
"""Seconds between two alarms while the verdict stays red."""
TIMEOUT_S: Final = 10.0
MAX_ALARM_BREACHES: Final = 5
"""Most breaches in one alarm."""
log = structlog.get_logger(__name__)


class OutsideReporter:
    """Sends heartbeats and alarms; call `tell` after each judgement."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        heartbeat_url: str,
        alarm_url: str,
        monotonic: Callable[[], float],
        statement: Callable[[], object],
    ) -> None:
        """Keep the addresses.

        `statement` returns the signed positions of all logs, anew for each heartbeat.
        """
        self._client, self._statement = client, statement
        self._heartbeat_url = heartbeat_url
        self._alarm_url = alarm_url
        self._monotonic = monotonic
        self._beat_at = float("-inf")
        self._alarm_at = float("-inf")
        self._alarmed = False

    async def tell(self, verdict: Verdict) -> None:
        """Send the heartbeat or alarm that a verdict calls for.

        Never raises. A request that fails is repeated at the next judgement.
        """
        now = self._monotonic()
        if verdict.state == "green":
            if (
                self._heartbeat_url
                and now - self._beat_at >= HEARTBEAT_INTERVAL_S
                and await self._beat()
            ):
                self._beat_at = now
            if self._alarmed and await self._alarm("green", verdict):
                self._alarmed = False
                self._alarm_at = float("-inf")
        elif (
            verdict.state == "red"
            and now - self._alarm_at >= ALARM_INTERVAL_S
            and await self._alarm("red", verdict)
        ):
            self._alarmed, self._alarm_at = True, now

    async def _beat(self) -> bool:
        """Send one heartbeat and return whether it arrived.

        Without a key to sign with, none is sent, so the receiver alarms.
        """
        try:
            statement = self._statement()
        except (OSError, SigningKeyInvalid) as error:
            log.error("outside.unsigned", error=str(error))
            return False
        return await self._send("POST", self._heartbeat_url, statement)

    async def _alarm(self, state: str, verdict: Verdict) -> bool:
        if not self._alarm_url:
            return True
        breach_rows = [
            {"law": b.law, "what": b.what} for b in verdict.breaches[:MAX_ALARM_BREACHES]
        ]
        text = (
            "Vigie : toutes les promesses sont de nouveau tenues."
            if state == "green"
            else f"Vigie, audit : {verdict.sentence}"
        )
        return await self._send(
            "POST",
            self._alarm_url,
            {"source": "vigie-auditor", "state": state, "text": text, "breaches": breach_rows},
        )

    async def _send(self, method: str, url: str, body: object = None) -> bool:
        try:
            answer = await self._client.request(method, url, json=body, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("outside.away", error=type(error).__name__)
            return False
        if answer.status_code >= 400:
            log.warning("outside.refused", status=answer.status_code)
        return answer.status_code < 400
