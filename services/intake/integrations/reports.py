"""Report each transition of an alert once, under the alert's own key.

A beginning, an end, an acknowledgement, or new content of an open alert is one native report. A
repetition is none. A request may be repeated as a whole: accepted reports have no second effect.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from schemas.base import MINUTE_MS
from schemas.crisis.maintenance import Renewal
from schemas.reports import END_SUFFIX
from schemas.topics import is_live
from schemas.words import EventType
from services.intake.integrations.episodes import LATE_WINDOW_MS, Episode, EpisodeTracker
from services.intake.integrations.signals import (
    ForwardedReport,
    Transition,
    TransitionMeaning,
    TransitionState,
    build_report,
    choose_time,
    interpret_transition,
    select_log_labels,
    shorten_key,
)
from services.intake.reports.acceptance import AcceptanceReceipt, RawBody, ReportReceiver
from services.intake.reports.deduplication import AnswerIndex, derive_keyed_id
from services.intake.reports.geography import TerritoryMap
from services.intake.reports.native import (
    convert_to_milliseconds,
    dump_json,
    parse_report,
    prepare_report,
)
from services.runtime.identity.principals import Principal, Source
from services.runtime.kafka.clients import format_time

_EVENT: Final = "event\x1f"


@dataclass(frozen=True, slots=True)
class MessageSender:
    """Sender of a message, and the data common to all its transitions."""

    principal: Principal
    source: Source
    realm: str
    raw: RawBody


class TransitionReporter:
    """Reports from all sources of one front. They enter Kafka like native reports."""

    def __init__(
        self,
        receiver: ReportReceiver,
        ledger: AnswerIndex,
        live_realm: str,
        geography: TerritoryMap,
    ) -> None:
        self._receiver = receiver
        self._ledger = ledger
        self._live_realm = live_realm
        self._geography = geography
        self.episodes = EpisodeTracker(ledger)
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    def speaker(self, principal: Principal, source: Source, raw: RawBody) -> MessageSender:
        """Return the sender of a message that names no realm."""
        return MessageSender(principal, source, principal.own_realm(self._live_realm), raw)

    async def accept_signal(
        self, speaker: MessageSender, signal: Transition | ForwardedReport
    ) -> AcceptanceReceipt | Renewal | None:
        """Accept a transition of an alert, or a native report.

        Returns the receipt of a native report. A repeated alert with a lease gives a renewal
        instead, for the caller to send with others through `renew`. Raises ProblemError,
        BrokerAway.
        """
        return await (
            self._tell(speaker, signal)
            if isinstance(signal, ForwardedReport)
            else self._report_transition(speaker, signal)
        )

    async def renew(self, speaker: MessageSender, renewals: Sequence[Renewal]) -> None:
        """Renew leases. See Receiver.renew."""
        await self._receiver.renew(speaker.realm, speaker.principal, renewals)

    async def _tell(self, speaker: MessageSender, report: ForwardedReport) -> AcceptanceReceipt:
        body = report.body if "realm" in report.body else report.body | {"realm": speaker.realm}
        signed_speaker = replace(speaker, raw=replace(speaker.raw, signature=report.signature))
        return await self.accept(signed_speaker, body, f"told\x1f{report.key}")

    async def _report_transition(
        self, speaker: MessageSender, signal: Transition
    ) -> Renewal | None:
        """Report a change of an alert; return a renewal if the alert only continues."""
        meaning = interpret_transition(signal, speaker.source)
        if meaning.drop or (
            signal.event is not None and self._has_had_effect(speaker, signal.event)
        ):
            return None
        signal, key, now = (
            replace(signal, state=meaning.state),
            shorten_key(signal.key),
            datetime.now(UTC),
        )
        at = convert_to_milliseconds(choose_time(signal.began or signal.at, now))
        body = build_report(signal, meaning, now) | {"realm": speaker.realm}
        words = f"{signal.title}\x1f{signal.details}\x1f{meaning.severity}".encode(
            "utf-8", "replace"
        )
        content = self._receiver.print_of(words)

        def once(otherwise: str) -> str:
            return otherwise if signal.event is None else f"{_EVENT}{signal.event}"

        async with self._lock(speaker.principal.id, key):
            newest_episode = self.episodes.newest(speaker.realm, speaker.principal.id, key)
            current = (
                newest_episode
                if newest_episode is not None and newest_episode.ended is None
                else None
            )
            if signal.state is TransitionState.INFO:
                about = meaning.type if current is None else current.type
                await self._inform(
                    speaker, body, current, about, once(f"{key}#info:{content}:{at // MINUTE_MS}")
                )
            elif signal.state is TransitionState.OPEN and (
                newest_episode is None or _is_new_episode(newest_episode, signal, now)
            ):
                began = _find_episode_start(signal, now)
                if (
                    signal.lease is not None
                    and newest_episode is not None
                    and began <= (newest_episode.ended or 0)
                ):
                    # The alert was over and is active again.
                    began = at = convert_to_milliseconds(now)
                at = self._after_what_ended(speaker, meaning, at)
                body["occurred_at"] = format_time(at)
                new = Episode(key, began, meaning.type, meaning.site, content=content, at=at)
                episode, beside = (
                    self.episodes.begins(speaker.realm, speaker.principal.id, new),
                    _build_extra_fields(signal, speaker.realm),
                )
                receipt = await self.accept(
                    speaker,
                    body | {"alias": episode.alias},
                    once(episode.alias),
                    beside,
                    words=words,
                )
                self._note(speaker, replace(episode, report_id=receipt.report_id))
            elif current is None or _is_earlier_end(signal, current, now):
                # An end without a beginning, or one that is late.
                return None
            elif signal.state is TransitionState.ACKNOWLEDGED:
                await self._inform(
                    speaker,
                    body,
                    current,
                    current.type,
                    once(f"{current.alias}#ack"),
                    {"acknowledges": True},
                )
            elif signal.state is TransitionState.CLOSED:
                await self._close(speaker, body, current, signal, now, once)
            elif not current.answered and content == current.content and signal.event is None:
                # A crash may have lost the text of this report.
                await self.accept(speaker, body, current.telling, words=words)
                self._note(speaker, replace(current, answered=True))
            elif signal.lease is not None:
                lease = signal.lease
                return (
                    Renewal(report=current.report_id, until=lease.until, explicit=lease.explicit)
                    if is_live(speaker.realm)
                    else None
                )
            elif signal.began is None and content != current.content:
                new_state = current.saying(content, at)
                update = {
                    "msg_type": "Update",
                    "references": [current.report_id],
                    "type": current.type,
                    "alias": new_state.update_alias,
                }
                await self.accept(speaker, body | update, once(new_state.telling), words=words)
                self._note(speaker, new_state)
        return None

    def _after_what_ended(self, speaker: MessageSender, meaning: TransitionMeaning, at: int) -> int:
        """Return when an alert begins: after the newest end at its site.

        The alert holds now, and a report from before that end would count as over. Rule D7, late
        reports.
        """
        over = self.episodes.over(speaker.realm, speaker.principal.id, meaning.type, meaning.site)
        return at if over is None else max(at, over + 1)

    async def _inform(
        self,
        speaker: MessageSender,
        body: dict[str, Any],
        about: Episode | None,
        type: str,
        key: str,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        """Report information. For an open alert, it concerns the alert's site."""
        references = [] if about is None else [about.report_id]
        place = {"site_id": about.site} if about is not None and about.site else {}
        await self.accept(
            speaker,
            body | {"type": EventType.INFO, "severity": 1, "references": references} | place,
            key,
            beside,
            matter=type,
        )

    async def _close(
        self,
        speaker: MessageSender,
        body: dict[str, Any],
        episode: Episode,
        signal: Transition,
        now: datetime,
        once: Callable[[str], str],
    ) -> None:
        """Report the end of an episode, which lifts that episode's cause.

        If the sender's clock is slow, the end still does not precede the beginning: the cause would
        stay. Rule D7, late reports.
        """
        opening_time = episode.began if episode.at is None else episode.at
        over = max(
            convert_to_milliseconds(choose_time(signal.at, now)),
            min(opening_time, convert_to_milliseconds(now)),
        )
        body |= {
            "type": EventType.REOPENING,
            "severity": 1,
            "lifts": [episode.type],
            "references": [episode.report_id],
            "occurred_at": format_time(over),
            "alias": f"{episode.alias}{END_SUFFIX}",
        }
        if episode.site:
            body["site_id"] = episode.site
        await self.accept(speaker, body, once(f"{episode.alias}{END_SUFFIX}"), matter=episode.type)
        self._note(speaker, replace(episode, ended=convert_to_milliseconds(now), over=over))

    def _note(self, speaker: MessageSender, episode: Episode) -> None:
        self.episodes.note(speaker.realm, speaker.principal.id, episode)

    async def accept(
        self,
        speaker: MessageSender,
        body: Mapping[str, Any],
        key: str,
        beside: Mapping[str, Any] | None = None,
        *,
        matter: str | None = None,
        words: bytes | None = None,
        first_stands: bool = True,
    ) -> AcceptanceReceipt:
        """Accept a native report under a key. The first version under a key stands.

        `beside` adds fields that only integrations set. For `matter` see `prepare_report`, for
        `words` see `PreparedReport`, for `first_stands` see `ReportReceiver.accept`. Raises
        ProblemError, BrokerAway.
        """
        principal = speaker.principal
        resolve = partial(self._receiver.resolve, principal.id)
        claim = prepare_report(
            parse_report(dump_json(body)),
            principal,
            self._live_realm,
            resolve,
            self._geography,
            matter,
        )
        claim = replace(claim, message={**claim.message, **(beside or {})}, words=words)
        return await self._receiver.accept(
            claim, principal, _hash_key(key), speaker.raw, first_stands=first_stands
        )

    def has_taken(self, speaker: MessageSender, key: str) -> bool:
        """Return whether a report of this sender was accepted under this key of `accept`."""
        return (
            self._ledger.get(derive_keyed_id(speaker.realm, speaker.principal.id, _hash_key(key)))
            is not None
        )

    def _has_had_effect(self, speaker: MessageSender, event: str) -> bool:
        return self.has_taken(speaker, f"{_EVENT}{event}")

    @asynccontextmanager
    async def _lock(self, source: str, key: str) -> AsyncIterator[None]:
        """Hold the lock of a key, so that one transition runs at a time."""
        place = (source, key)
        lock, users = self._locks.get(place, (asyncio.Lock(), 0))
        self._locks[place] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[place]
            if users == 1:
                del self._locks[place]
            else:
                self._locks[place] = lock, users - 1


def _build_extra_fields(signal: Transition, realm: str) -> dict[str, Any]:
    """Return labels for maintenance windows, and the lease in live realms.

    Simulated realms have their own clock.
    """
    extra_fields: dict[str, Any] = (
        {"labels": labels} if (labels := select_log_labels(signal)) else {}
    )
    return (
        extra_fields | {"lease": signal.lease.model_dump()}
        if signal.lease is not None and is_live(realm)
        else extra_fields
    )


def _hash_key(key: str) -> str:
    """Shorten a key of any length and content to a valid Idempotency-Key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _is_new_episode(episode: Episode, signal: Transition, now: datetime) -> bool:
    """Return whether a message begins a new episode, neither repeated nor late."""
    if signal.lease is not None:
        # While a lease holds, another beginning is the same alert. After its end, an active alert
        # is new.
        return episode.ended is not None
    if signal.began is not None:
        began = _find_episode_start(signal, now)
        if episode.ended is not None and episode.began > episode.ended:
            # A clock that was ahead named that beginning.
            return began != episode.began and began > episode.ended
        return began > episode.began
    if episode.ended is None:
        return False
    over = episode.ended if episode.over is None else episode.over
    late = (
        signal.at is not None
        and convert_to_milliseconds(signal.at) <= over
        and convert_to_milliseconds(now) - episode.ended < LATE_WINDOW_MS
    )
    return not late


def _find_episode_start(signal: Transition, now: datetime) -> int:
    """Return the beginning that the sender gives, in ms. It is part of the episode's name."""
    return max(convert_to_milliseconds(signal.began or now), 0)


def _is_earlier_end(signal: Transition, current: Episode, now: datetime) -> bool:
    """Return whether a message ends an earlier episode, over before this one began.

    Each node of a cluster reports an end, the slow one last.
    """
    if (
        signal.state is not TransitionState.CLOSED
        or signal.lease is not None
        or signal.began is None
        or signal.at is None
    ):
        return False
    return (
        convert_to_milliseconds(signal.began) < current.began <= convert_to_milliseconds(now)
        and convert_to_milliseconds(signal.at) <= current.began
    )
