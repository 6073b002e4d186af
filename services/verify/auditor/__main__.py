"""Run the auditor: `python -m services.verify.auditor`."""

import asyncio
import signal
import time

import httpx2 as httpx
import structlog
import uvloop

from services.runtime.log.heads import sign_statement
from services.runtime.process import health, logs
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.signing import SigningKey
from services.verify.auditor.auditor import Auditor
from services.verify.auditor.verdict import AuditorSettings, OutsideReporter, Verdict

log = structlog.get_logger(__name__)


async def run_auditor(settings: AuditorSettings) -> None:
    """Run the auditor until SIGTERM or SIGINT.

    Its readiness is its verdict, but only once the system has started: a start must not wait for
    the audit of the past.
    """
    auditor = Auditor(settings.kafka, settings.redis)
    loop = asyncio.get_running_loop()
    server = await health.serve_health(
        settings, {"audit": lambda: readiness_sentence(settings, auditor.verdict)}
    )
    async with httpx.AsyncClient(headers={"user-agent": "Vigie"}) as client:
        outside = OutsideReporter(
            client,
            settings.audit_heartbeat_url.get_secret_value(),
            settings.audit_alarm_url.get_secret_value(),
            time.monotonic,
            lambda: sign_statement(
                SigningKey.open(settings.data.secrets), round(time.time() * 1000), auditor.heads
            ),
        )
        working = asyncio.create_task(_report_verdicts(auditor, outside), name="audit")
        stopping: set[asyncio.Task[None]] = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(
                number, lambda: stopping.add(asyncio.create_task(cancel_and_wait([working])))
            )
        try:
            await working
        except asyncio.CancelledError:
            log.info("audit.stopped")
        finally:
            await server.close()
            await auditor.close()


async def _report_verdicts(auditor: Auditor, outside: OutsideReporter) -> None:
    last_state = auditor.verdict.state
    async for verdict in auditor.verdicts():
        if verdict.state != last_state:
            (log.error if verdict.state == "red" else log.info)(
                "audit.verdict", state=verdict.state, what=verdict.sentence
            )
            last_state = verdict.state
        await outside.tell(verdict)


def readiness_sentence(settings: Settings, verdict: Verdict) -> str | None:
    """Return the sentence for /readyz, or None while the system has not started yet."""
    return verdict.sentence if settings.data.started.exists() else None


if __name__ == "__main__":
    logs.configure_logging("auditor")
    uvloop.run(run_auditor(AuditorSettings()))
