"""Accept CAP messages: `POST /api/v1/cap`, one native report per event.

An Update or Cancel affects the reports of earlier messages (rule D3, updates and withdrawals).
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from schemas.cap import MEDIA_TYPE
from schemas.topics import is_live
from schemas.words import EventType, MsgType
from services.intake.integrations.cap.meaning import (
    CapEvent,
    build_text_fields,
    build_time_fields,
    find_gravest_colours,
    interpret_message,
    is_expired,
    parse_phenomenon,
)
from services.intake.integrations.cap.message import CapMessage, Info, MessageIdentity, read_message
from services.intake.integrations.cap.signature import SignatureVerdict, verify_signature
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.integrations.request import IntegrationRequest, Reply
from services.intake.integrations.signals import ForwardedReport, shorten_key
from services.intake.reports.acceptance import RETRY_S, AcceptanceReceipt, RawBody
from services.intake.reports.deduplication import AnswerIndex, KnownReport
from services.intake.reports.geography import Location, TerritoryMap, build_circle, build_polygon
from services.intake.reports.reports_api import describe_receipt, list_warnings
from services.runtime.http.problems import FieldFault, ProblemError, build_fault
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source

MEDIA_TYPES: Final = (MEDIA_TYPE, "application/xml", "text/xml")
THREAD_BYTES: Final = 64 << 10
"""Bodies from this size on are read in a thread, so that other requests go on."""
WITHDRAWN_SUFFIX: Final = "#over"
"""End of the alias of a report that withdraws an event."""
_CALM_COLOURS: Final = frozenset({"vert", "jaune"})
"""Colours to which a Cancel may return.

Any other colour in a Cancel is that of the withdrawn event: senders often repeat its block.
"""
_UNREPORTED_STATUSES: Final = {
    "Test": (
        "message d’essai : le chemin est bon, rien n’est signalé",
        "test message: the path works, nothing is reported",
    ),
    "System": (
        "message de service : pris, rien n’est signalé",
        "system message: taken, nothing is reported",
    ),
    "Draft": ("brouillon : pris, rien n’est signalé", "draft: taken, nothing is reported"),
}


@dataclass(frozen=True, slots=True)
class CapResult:
    """Receipts of a message, or the reason why there are none."""

    receipts: list[AcceptanceReceipt]
    warnings: tuple[FieldFault, ...] = ()
    """Values that Vigie does not know; the reports carry them in their text."""
    nothing: tuple[str, str] = (
        "rien dans ce message ne concerne le territoire",
        "this message does not concern the territory",
    )


@dataclass(frozen=True, slots=True)
class _EarlierReport:
    """A report from an earlier message of the same sender."""

    type: str
    name: str
    report_id: str
    sent_ms: int
    over: bool
    """True if the report withdrew the event."""


class CapIntegration:
    """Integration of CAP, for registered sources and all other principals that may report."""

    NAME: Final = "cap"
    PATHS: Final = ("/api/v1/cap",)
    PERMISSION: Final = Permission.REPORT_POST

    def __init__(self, geography: TerritoryMap, ledger: AnswerIndex) -> None:
        self._geography = geography
        self._ledger = ledger

    def get_storable_bytes(self, request: IntegrationRequest) -> bytes:
        return request.body

    async def accept_request(
        self,
        machines: Dispatcher,
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> CapResult:
        """Accept one report per event that concerns the territory.

        Raises ProblemError `media_type`, `invalid`, `status_realm`.
        """
        if request.kind and request.kind not in MEDIA_TYPES and not request.kind.endswith("+xml"):
            # Feeds and envelopes are recognised when the body is read.
            raise ProblemError("media_type", expected=", ".join(MEDIA_TYPES))
        apart = len(request.body) > THREAD_BYTES
        message, verdict, places = (
            await asyncio.to_thread(self._read, request.body, source)
            if apart
            else self._read(request.body, source)
        )
        own = machines.transitions.speaker(
            principal, source, RawBody(request.body, request.kind, self.NAME)
        ).realm
        realm = self._realm(message, source, request.query.get("realm") or own)
        if (why := _UNREPORTED_STATUSES.get(message.status)) is not None:
            return CapResult([], nothing=why)
        telling = _MessageConversion(
            message, verdict, source, realm, self._ledger, datetime.now(UTC)
        )
        if telling.came_too_late():
            return CapResult([], nothing=_TOO_LATE)
        unheard, reports = telling.unheard(), telling.build_reports(places)
        results = await machines.take_all(principal, source, self.NAME, request, reports)
        try:
            self._ledger.outdate(realm, source.id, unheard)
        except sqlite3.Error as error:
            raise ProblemError("storage", retry_after_s=RETRY_S) from error
        receipts = [r for r in results if isinstance(r, AcceptanceReceipt)]
        return CapResult(receipts, _list_warnings(event for event, _ in places))

    def _read(
        self, body: bytes, source: Source
    ) -> tuple[CapMessage, SignatureVerdict, list[tuple[CapEvent, Location | None]]]:
        message, root = read_message(body)
        sender = message.identity.sender
        return (
            message,
            verify_signature(root, body, source.certificates),
            [(e, self._locate(e.info, sender)) for e in interpret_message(message, source)],
        )

    def _locate(self, info: Info, sender: str) -> Location | None:
        """Return the communes and sites of a block; None if its area cannot be located."""
        geometries = [build_polygon(p) for a in info.areas for p in a.polygons] + [
            build_circle(c.centre, c.radius_km) for a in info.areas for c in a.circles
        ]
        code_location = self._geography.locate_codes(
            (pair for a in info.areas for pair in a.geocodes), sender
        )
        if not geometries:
            return code_location
        area_location = self._geography.within(geometries)
        if code_location is None or not code_location.communes:
            return area_location
        communes = tuple(sorted({*code_location.communes, *area_location.communes}))
        return Location(communes, whole=code_location.whole or area_location.whole)

    def _realm(self, message: CapMessage, source: Source, realm: str) -> str:
        """Return the realm of a message, which for an exercise is never live.

        Raises ProblemError `status_realm`. Rule D12, exercises.
        """
        if message.status != "Exercise" or not is_live(realm):
            return realm
        if source.exercise_realm is None:
            raise ProblemError(
                "status_realm",
                faults=(build_fault("/alert/status", "status_realm", _NO_REALM[0], _NO_REALM[1]),),
            )
        return source.exercise_realm

    def build_reply(self, request: IntegrationRequest, outcome: CapResult) -> Reply:
        """Answer 202 with the first receipt and all of them, or with the reason for none."""
        language = choose_language(request.headers.get("accept-language"))
        warnings = list_warnings(outcome.warnings, language)
        if not outcome.receipts:
            detail = outcome.nothing[language == "en"]
            return Reply(202, {"reports": [], "detail": detail} | warnings)
        documents = [describe_receipt(r) for r in outcome.receipts]
        headers = (
            ((b"idempotency-replayed", b"true"),)
            if all(r.is_replay for r in outcome.receipts)
            else ()
        )
        return Reply(202, documents[0] | {"reports": documents} | warnings, headers)


def _list_warnings(events: Iterable[CapEvent]) -> tuple[FieldFault, ...]:
    """Return one warning per code of Vigie with a value that it does not know."""
    values = dict.fromkeys(pair for event in events for pair in event.unread)
    return tuple(
        build_fault(
            name,
            "unknown",
            f"valeur inconnue : {value} ; le signalement est accepté sans elle et la cite dans son texte",
            f"unknown value: {value}; the report is taken without it and carries it as text",
        )
        for name, value in values
    )


_TOO_LATE: Final = (
    "un message plus récent, arrivé avant, remplace ou retire celui-ci",
    "a newer message that came before replaces or withdraws this one",
)
_NO_REALM: Final = (
    "cette source n’a pas de territoire d’exercice (vigie source add --exercise-realm)",
    "this source has no exercise realm (vigie source add --exercise-realm)",
)


class _MessageConversion:
    """Convert one message to native reports."""

    def __init__(
        self,
        message: CapMessage,
        verdict: SignatureVerdict,
        source: Source,
        realm: str,
        ledger: AnswerIndex,
        now: datetime,
    ) -> None:
        self._message = message
        self._verdict = verdict
        self._doubted = bool(source.certificates) and verdict is not SignatureVerdict.VALID
        self._sender = source.id
        self._realm = realm
        self._ledger = ledger
        self._now = now if is_live(realm) else message.identity.sent_at
        """Time against which expiry is checked: an exercise uses the message's own."""

    def build_reports(
        self, places: Sequence[tuple[CapEvent, Location | None]]
    ) -> list[ForwardedReport]:
        """Return native reports in the order of the message."""
        earlier = _drop_withdrawn(
            [e for reference in self._message.references for e in self._earlier(reference)]
        )
        if self._message.type in ("Ack", "Error"):
            return self._answer(earlier)
        here = [
            (n, event, location)
            for n, (event, location) in enumerate(places)
            if not event.drop and self._concerns(event, location)
        ]
        if self._message.type == "Cancel":
            colours = {
                p: c
                for p, c in find_gravest_colours(e for _, e, _ in here).items()
                if c in _CALM_COLOURS
            }
            return self._withdrawals(earlier, {}) or [
                self._withdrawal_unknown(n, e, at, colours) for n, e, at in here
            ]
        return self._alerts(here, earlier)

    def came_too_late(self) -> bool:
        """Return whether a newer message that arrived earlier replaced or withdrew this one.

        Feeds list the newest first. A message that was accepted before does not count.
        """
        identity = self._message.identity
        return self._ledger.is_outdated(
            self._realm, self._sender, _build_alias_prefix(identity)
        ) and not self._heard_of(identity)

    def unheard(self) -> list[str]:
        """Return the names of referenced messages that have not arrived."""
        if self._message.type not in ("Update", "Cancel"):
            return []
        return [_build_alias_prefix(r) for r in self._message.references if not self._heard_of(r)]

    @staticmethod
    def _concerns(event: CapEvent, location: Location | None) -> bool:
        return not event.info.areas or location is None or bool(location.communes or location.sites)

    def _earlier(self, reference: MessageIdentity) -> list[_EarlierReport]:
        earlier_reports = []
        for alias_rest, earlier_report in self._heard_of(reference).items():
            type_, _, name = alias_rest.removesuffix(WITHDRAWN_SUFFIX).partition(".")
            earlier_reports.append(
                _EarlierReport(
                    type_,
                    name,
                    earlier_report.report_id,
                    reference.sent_ms,
                    alias_rest.endswith(WITHDRAWN_SUFFIX),
                )
            )
        return earlier_reports

    def _heard_of(self, identity: MessageIdentity) -> dict[str, KnownReport]:
        """Return the reports from a message, by type and name of their event."""
        return self._ledger.aliases(
            self._realm, self._sender, shorten_key(identity.key), _format_sent(identity)
        )

    def _alerts(
        self, here: list[tuple[int, CapEvent, Location | None]], earlier: list[_EarlierReport]
    ) -> list[ForwardedReport]:
        """Build the reports of an Alert or Update.

        Each event of an Update replaces its own predecessor. Events that the Update omits are
        withdrawn.
        """
        remaining = list(earlier)
        own: dict[int, list[_EarlierReport]] = {}
        for n, event, _ in here:
            own[n] = [e for e in remaining if (e.type, e.name) == (event.type.value, event.name)]
            remaining = [e for e in remaining if e not in own[n]]
        new = [n for n, _, _ in here if not own[n]]
        if new:
            # The event has another name now.
            for n in new:
                own[n] = remaining
            remaining = []
        colours = find_gravest_colours(e for _, e, _ in here if not is_expired(e.info, self._now))
        return [
            self._alert(n, event, location, own[n], colours) for n, event, location in here
        ] + self._withdrawals(remaining, colours)

    def _alert(
        self,
        n: int,
        event: CapEvent,
        location: Location | None,
        earlier: list[_EarlierReport],
        colours: Mapping[str, str],
    ) -> ForwardedReport:
        info = event.info
        type_ = (
            MsgType.CANCEL
            if event.over
            else MsgType.UPDATE
            if self._message.type == "Update"
            else MsgType.ALERT
        )
        references = [e.report_id for e in earlier]
        if not references and type_ is MsgType.UPDATE:
            references = [shorten_key(f"{r.key},{r.sent_ms}") for r in self._message.references]
        body = self._body(event.type, event.severity, type_, event) | build_time_fields(
            info, self._message.identity.sent_at, self._now
        )
        alias = self._alias(event.type, event.name) + (WITHDRAWN_SUFFIX if event.over else "")
        body |= {"alias": alias, "references": references[:100]} | self._place(event, location)
        if not is_expired(info, self._now):
            body |= self._vigilance(event, colours)
        return self._tell(f"{n}", body)

    @staticmethod
    def _vigilance(event: CapEvent, colours: Mapping[str, str]) -> dict[str, Any]:
        """Return the phenomenon, with its colour if that is the one in `colours`."""
        if event.phenomenon is None:
            return {"colour": event.colour} if event.colour else {}
        colour = event.declares
        return {"phenomenon": event.phenomenon} | (
            {"colour": colour} if colour and colour == colours.get(event.phenomenon) else {}
        )

    def _body(
        self, type_: str, severity: int, msg_type: MsgType, event: CapEvent | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "realm": self._realm,
            "type": type_,
            "severity": severity,
            "msg_type": msg_type,
        }
        if event is not None:
            info = event.info
            certainty = (
                "Possible"
                if self._doubted and info.certainty in ("Observed", "Likely")
                else info.certainty
            )
            body |= {"certainty": certainty, "urgency": info.urgency} | build_text_fields(
                info, self._message.identity.sender, event.unread
            )
        elif self._doubted:
            body["certainty"] = "Possible"
        return body

    @staticmethod
    def _place(event: CapEvent, location: Location | None) -> dict[str, Any]:
        """Return the communes and sites of an event.

        A site counts only if the source's record names one. An unknown area goes to a person.
        """
        if location is None and event.info.areas and event.site is None:
            return {
                "area": {
                    "type": "Unknown",
                    "areaDesc": [a.description[:500] for a in event.info.areas[:20]],
                }
            }
        place: dict[str, Any] = {"site_id": event.site} if event.site else {}
        if location is not None and location.zone:
            place |= (
                {"commune": location.zone[0]}
                if len(location.zone) == 1
                else {"zone": list(location.zone)}
            )
        if location is not None and location.sites and not location.whole:
            place["sites"] = list(location.sites)
        return place

    def _withdrawals(
        self, earlier: list[_EarlierReport], colours: Mapping[str, str]
    ) -> list[ForwardedReport]:
        """Build one withdrawal per event reported earlier.

        A vigilance without a colour in `colours` returns to green.
        """
        withdrawals = []
        for type_, name in dict.fromkeys((e.type, e.name) for e in earlier):
            about = [e.report_id for e in earlier if (e.type, e.name) == (type_, name)]
            body = self._bare(type_, MsgType.CANCEL) | {
                "references": about[:100],
                "alias": self._alias(type_, name) + WITHDRAWN_SUFFIX,
            }
            if (
                type_ == EventType.WEATHER_ALERT
                and (phenomenon := parse_phenomenon(name)) is not None
            ):
                body |= {"phenomenon": phenomenon} | (
                    {} if phenomenon in colours else {"colour": "vert"}
                )
            withdrawals.append(self._tell(f"cancel.{type_}.{name}", body))
        return withdrawals

    def _withdrawal_unknown(
        self, n: int, event: CapEvent, location: Location | None, colours: Mapping[str, str]
    ) -> ForwardedReport:
        """Build the withdrawal of an event that never arrived.

        A calm colour in it applies. Otherwise, a person finds the event. Rule D3, updates and
        withdrawals.
        """
        body = self._body(event.type, event.severity, MsgType.CANCEL, event) | {
            "occurred_at": self._message.identity.sent_at.isoformat()
        }
        body |= {"alias": self._alias(event.type, event.name)} | self._place(event, location)
        return self._tell(f"{n}", body | self._vigilance(event, colours))

    def _answer(self, earlier: list[_EarlierReport]) -> list[ForwardedReport]:
        """Report an Ack or Error as information, if its message is known."""
        if not earlier:
            return []
        body = self._bare(EventType.INFO, MsgType.ALERT) | {
            "references": [e.report_id for e in earlier][:100]
        }
        return [self._tell("answer", body)]

    def _bare(self, type_: str, msg_type: MsgType) -> dict[str, Any]:
        """Build a report without an info block; the first block gives its text."""
        info = self._message.infos[0] if self._message.infos else None
        body = self._body(type_, 1, msg_type, None) | {
            "occurred_at": self._message.identity.sent_at.isoformat()
        }
        if info is not None:
            return body | build_text_fields(info, self._message.identity.sender)
        message_name = f"{self._message.type} {self._message.identity.identifier}"
        return body | {
            "headline": (self._message.note or message_name)[:2_000],
            "source": {"name": self._message.identity.sender[:200]},
        }

    def _alias(self, type_: str, name: str) -> str:
        return f"{_build_alias_prefix(self._message.identity)}{type_}.{name}"

    def _tell(self, part: str, body: dict[str, Any]) -> ForwardedReport:
        return ForwardedReport(
            f"{_build_alias_prefix(self._message.identity)}{part}", body, self._verdict.value
        )


def _drop_withdrawn(earlier: list[_EarlierReport]) -> list[_EarlierReport]:
    """Return events without those that were withdrawn after their last report."""
    newest = {(e.type, e.name): e for e in sorted(earlier, key=lambda e: (e.sent_ms, e.over))}
    return [e for e in earlier if not newest[e.type, e.name].over]


def _build_alias_prefix(identity: MessageIdentity) -> str:
    """Return the beginning of the aliases of a message's reports."""
    return f"{shorten_key(identity.key)}{_format_sent(identity)}"


def _format_sent(identity: MessageIdentity) -> str:
    return f"#{identity.sent_ms}."
