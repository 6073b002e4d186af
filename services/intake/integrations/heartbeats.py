"""Report a source that is silent for longer than the period it promised.

The report concerns the source's site and ends when the source sends again. The deadline is the last
sign of life, kept in `intake/sources.db`, plus the period. So it survives restarts. It is never
earlier than one period after the start, because this process hears nothing while it is down. The
opening report carries the alias of its episode, the cancelling one the same with `#end`. So neither
a restart nor a lost file reports a silence twice. Live realms only: an exercise has its own clock.
"""

import asyncio
import sqlite3
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog

from schemas.base import Instant
from schemas.reports import END_SUFFIX
from schemas.topics import is_live
from schemas.words import EventType
from services.intake.integrations.episodes import Episode, EpisodeTracker
from services.intake.integrations.reports import MessageSender, TransitionReporter
from services.intake.integrations.shared_signs import calculate_grace
from services.intake.integrations.source_stats import SourceStats
from services.intake.reports.acceptance import RawBody
from services.intake.reports.deduplication import AnswerIndex
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import BrokerAway, format_time
from services.runtime.process.machine import now_ms

VIGIE_PRINCIPAL: Final = Principal(
    id="vigie", role=Role.SOURCE, speaks_as="systeme", label="Vigie itself"
)
CHECK_S: Final = 1.0
SEVERITY: Final = 2
"""Severity of the report: Vigie receives less than it should, and nothing else is known."""
SILENT_SOURCE_MEASURE: Final = "source_silent"
log = structlog.get_logger(__name__)


class HeartbeatMonitor:
    """Monitor of all sources with a promised period, in one front."""

    def __init__(
        self,
        access: AccessStore,
        transitions: TransitionReporter,
        ledger: AnswerIndex,
        book: SourceStats,
        *,
        is_shared: bool = False,
    ) -> None:
        """Watch sources; `is_shared`: other fronts hear some of them (`shared_signs`)."""
        self._is_shared = is_shared
        self._access = access
        self._transitions = transitions
        self._ledger = ledger
        self._episodes = EpisodeTracker(ledger)
        self._book = book
        self._listening_since: Instant | None = None

    async def run(self) -> None:
        """Check sources until cancelled."""
        await self._ledger.caught_up.wait()
        await self._access.caught_up.wait()
        while True:
            await self.check(now_ms())
            await asyncio.sleep(CHECK_S)

    async def check(self, now: Instant) -> None:
        """Report sources that fell silent or are back. The next check retries failures."""
        self._listening_since = self._listening_since or now
        for source in self._access.all(Source):
            if source.heartbeat_s is None:
                continue
            try:
                await self._look(source, source.heartbeat_s * 1000, now)
            except (ProblemError, BrokerAway, sqlite3.Error) as error:
                log.warning("heartbeat.not_reported", source=source.name, error=str(error))

    async def _look(self, source: Source, period: int, now: Instant) -> None:
        principal = self._access.principal(source.id)
        speaker = self._transitions.speaker(
            VIGIE_PRINCIPAL, source, RawBody(b"", "application/json", "heartbeat")
        )
        if principal is not None:
            speaker = replace(speaker, realm=principal.own_realm(speaker.realm))
        newest_episode = self._episodes.newest(
            speaker.realm, VIGIE_PRINCIPAL.id, _build_key(source)
        )
        silent = (
            newest_episode if newest_episode is not None and newest_episode.ended is None else None
        )
        (self._book.silent.discard if silent is None else self._book.silent.add)(source.id)
        last_seen = self._book.health(source.id).last_seen
        # Disabled by a person: it is no longer expected.
        if principal is None:
            if silent is not None:
                await self._ends(speaker, silent, now)
        elif silent is not None:
            if last_seen is not None and last_seen > silent.began:
                await self._ends(speaker, silent, last_seen)
        elif is_live(speaker.realm) and now >= self._find_deadline(last_seen, period, now):
            await self._begins(speaker, last_seen or self._listening_since or now)

    def _find_deadline(self, last_seen: Instant | None, period: int, now: Instant) -> Instant:
        grace = calculate_grace(period) if self._is_shared else 0
        return max(last_seen or 0, self._listening_since or now) + period + grace

    async def _begins(self, speaker: MessageSender, since: Instant) -> None:
        source = speaker.source
        episode = Episode(_build_key(source), since, EventType.OUTAGE_IT, source.site)
        body = self._body(source) | {
            "occurred_at": format_time(since),
            "alias": episode.alias,
            "headline": f"La source « {source.name} » ne répond plus",
            "description": (
                f"Elle a promis un signe toutes les {source.heartbeat_s} s ; le dernier date de "
                f"{format_time(since)}."
            ),
        }
        receipt = await self._accept(speaker, body, episode.alias)
        self._episodes.note(
            speaker.realm, VIGIE_PRINCIPAL.id, replace(episode, report_id=receipt.report_id)
        )
        self._book.silent.add(source.id)
        log.warning("source.silent", source=source.name, since=format_time(since))

    async def _ends(self, speaker: MessageSender, episode: Episode, at: Instant) -> None:
        """Cancel the report of a silent source.

        A reopening would also lift any other IT outage of the site. Rule D16, reopening.
        """
        body = self._body(speaker.source) | {
            "msg_type": "Cancel",
            "references": [episode.report_id],
            "occurred_at": format_time(at),
            "alias": f"{episode.alias}{END_SUFFIX}",
            "headline": f"La source « {speaker.source.name} » parle de nouveau",
        }
        await self._accept(speaker, body, f"{episode.alias}{END_SUFFIX}")
        self._episodes.note(speaker.realm, VIGIE_PRINCIPAL.id, replace(episode, ended=at))
        self._book.silent.discard(speaker.source.id)
        log.info("source.speaks_again", source=speaker.source.name)

    def _body(self, source: Source) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": EventType.OUTAGE_IT,
            "severity": SEVERITY,
            "certainty": "confirmed",
            "measure": {
                "name": SILENT_SOURCE_MEASURE,
                "value": True,
                "object": f"system:source.{source.name}",
            },
        }
        return body | ({"site_id": source.site} if source.site else {})

    async def _accept(self, speaker: MessageSender, body: dict[str, Any], key: str) -> Any:
        """Accept a report of Vigie itself, with the report as its raw bytes."""
        sender = replace(speaker, raw=RawBody(orjson.dumps(body), "application/json", "heartbeat"))
        return await self._transitions.accept(sender, body | {"realm": speaker.realm}, key)


def _build_key(source: Source) -> str:
    return f"silence.{source.name}"
