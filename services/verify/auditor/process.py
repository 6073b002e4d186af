"""The auditor as a service: it reads the logs, and tells each verdict outside."""

import time
from contextlib import AsyncExitStack
from typing import Self

import httpx2 as httpx
import structlog

from services.runtime.log.heads import sign_statement
from services.runtime.process.machine import now_ms
from services.runtime.secrets.signing import SigningKey
from services.verify.auditor.auditor import Auditor
from services.verify.auditor.verdict import AuditorSettings, OutsideReporter

log = structlog.get_logger(__name__)


class AuditorProcess:
    """Driver of an `Auditor`."""

    def __init__(self, settings: AuditorSettings) -> None:
        self._settings = settings
        self._auditor = Auditor(settings.kafka, settings.redis)

    @classmethod
    def open(cls) -> Self:
        """Return the auditor with settings from the environment."""
        return cls(AuditorSettings())

    def fault(self) -> str | None:
        """Return the verdict unless it is green.

        It counts only once the system has started: a start must not wait for the audit of the past.
        """
        return self._auditor.verdict.sentence if self._settings.data.started.exists() else None

    async def run(self) -> None:
        """Audit for ever."""
        auditor = self._auditor
        async with AsyncExitStack() as stack:
            outside = await self._reach_outside(stack)
            last_state = auditor.verdict.state
            async for verdict in auditor.verdicts():
                if verdict.state != last_state:
                    (log.error if verdict.state == "red" else log.info)(
                        "audit.verdict", state=verdict.state, what=verdict.sentence
                    )
                    last_state = verdict.state
                if outside is not None:
                    await outside.tell(verdict)

    async def _reach_outside(self, stack: AsyncExitStack) -> OutsideReporter | None:
        """Return the reporter of heartbeats and alarms, None without an address for either."""
        settings, auditor = self._settings, self._auditor
        heartbeat_url = settings.audit_heartbeat_url.get_secret_value()
        alarm_url = settings.audit_alarm_url.get_secret_value()
        if not heartbeat_url and not alarm_url:
            return None
        return OutsideReporter(
            await stack.enter_async_context(httpx.AsyncClient(headers={"user-agent": "Vigie"})),
            heartbeat_url,
            alarm_url,
            time.monotonic,
            lambda: sign_statement(SigningKey.open(settings.data.secrets), now_ms(), auditor.heads),
        )

    async def close(self) -> None:
        """Close the connection to the store."""
        await self._auditor.close()
