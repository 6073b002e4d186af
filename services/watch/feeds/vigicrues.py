"""Vigicrues: colours of the sections of river that concern the territory."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic import Field

from services.watch.connector import (
    Bodies,
    FeedBody,
    FeedConnector,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Memory,
    Reading,
    build_end,
    build_post,
    is_outdated,
    read_stored_time,
)
from services.watch.parsing import (
    COLOURS,
    FeedDrift,
    Instant,
    StrictModel,
    check_clock,
    format_instant,
    format_stamp,
    parse_json,
    validate_model,
)
from services.watch.vigilance import Step, build_alert_fields, decide_colour, note_said
from services.watch.watched import WatchedTerritory

HOST: Final = "www.vigicrues.gouv.fr"
LEVELS: Final[dict[Any, int]] = {1: 1, 2: 2, 3: 3, 4: 4, "1": 1, "2": 2, "3": 3, "4": 4}
"""A level is a number; the feed has sent it as text at times. Anything else is drift."""
ORANGE: Final = 3
SECOND_SOURCE_AGE: Final = timedelta(hours=12)
FAST_POLL_S: Final = 300


class _Properties(StrictModel):
    CdEntCru: str
    NivInfViCr: int | str


class _RiverDocument(StrictModel):
    RefInfoVigiCru: str = Field(pattern=r"^\d{8}_\d{2}$")
    DtHrInfoVigiCru: Instant | None = None
    features: list[dict[str, Any]]


class Vigicrues(FeedConnector):
    """Post one matter for the territory: the gravest of the sections that decide."""

    spec = FeedSpec(
        name="vigicrues",
        title="Vigicrues, couleurs des tronçons",
        hosts=(HOST, "vigicrues.gouv.fr"),
        poll_s=600,
        heartbeat_s=26 * 3600,
        stale_after_s=26 * 3600,
        speaks_as="vigicrues",
        types=("info", "weather_alert"),
        max_bytes=10_000_000,
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        return (FeedRequest("main", f"https://{HOST}/services/InfoVigiCru.geojson"),)

    def choose_poll(self, memory: Memory) -> int:
        return FAST_POLL_S if memory.get("matter", {}).get("opened") else self.spec.poll_s

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        body = bodies["main"]
        return _find_time(validate_model(_RiverDocument, parse_json(body.content)), body)

    def read(self, bodies: Bodies, look: Look) -> Reading:
        body = bodies["main"]
        document = validate_model(_RiverDocument, parse_json(body.content))
        edition_at = _find_time(document, body)
        check_clock(edition_at, look.now)
        reading = Reading(look.memory, edition_at=edition_at)
        reading.edition = document.RefInfoVigiCru
        if is_outdated(edition_at, look, self.spec):
            reading.verdict = FetchVerdict.STALE
            return reading
        levels, odd = _read_levels(document, look, reading)
        river_levels: dict[str, int] = look.memory.setdefault("levels", {})
        river_levels |= levels
        decide = look.territory.sections.decide
        deciding = [code for code in decide if code in river_levels]
        is_understood = not odd.intersection(decide)
        if any(code in levels for code in decide) and (
            is_understood or _is_rising(river_levels, deciding, look)
        ):
            self._judge(river_levels, deciding, look, reading)
        return reading.settle()

    def _judge(
        self, levels: dict[str, int], deciding: list[str], look: Look, reading: Reading
    ) -> None:
        """Compare the gravest colour with the last report."""
        assert reading.edition_at is not None
        worst = max(levels[code] for code in deciding)
        if worst < ORANGE and len(deciding) < len(look.territory.sections.decide):
            return  # a section that was never read may be graver
        colour = COLOURS[worst - 1]
        state = look.memory.setdefault("matter", {})
        stamp = f"{reading.edition}/{format_stamp(reading.edition_at)}"
        decision = decide_colour(state, colour, stamp, look.now, is_agreed=_is_agreed(look))
        reading.soon = decision.wait
        reading.word = _write_colours(levels, look.territory)
        if decision.step is Step.NONE:
            if colour == "vert":
                state.setdefault("colour", "vert")
            return
        alias = f"vigicrues:{look.territory.code}:crues:{reading.edition}"
        if decision.confirms:
            alias += ":confirmed"
        elif decision.step is Step.WITHDRAW:
            alias += ":withdrawn"
        if alias == state.get("alias"):  # the bulletin was corrected under its own number
            alias += f"-{format_stamp(reading.edition_at)}"
        at, bulletin = format_instant(reading.edition_at), _write_bulletin(reading)
        if decision.step in (Step.CANCEL, Step.WITHDRAW):
            remaining = {"colour": colour} if decision.step is Step.CANCEL else {}
            post = build_end(
                alias,
                at,
                decision.references[0],
                f"Vigilance crues abaissée : {reading.word} – {bulletin}",
                type="weather_alert" if decision.is_alert else "info",
                phenomenon="crues",
                **remaining,
            )
        else:
            fields = build_alert_fields(decision, colour)
            if decision.is_alert:
                fields.setdefault("msg_type", "Alert")
            post = build_post(
                alias,
                at,
                **fields,
                phenomenon="crues",
                colour=colour,
                headline=f"Vigilance {reading.word} – {bulletin}",
            )
        reading.posts.append(post)
        if decision.step is not Step.WITHDRAW:
            note_said(state, decision, colour, alias)


def _is_rising(levels: dict[str, int], deciding: list[str], look: Look) -> bool:
    """Check whether a section is graver than the last report says.

    Another section that is not understood hides no danger, and ends none. Rule D121.
    """
    colour = look.memory.get("matter", {}).get("colour") or COLOURS[0]
    return max(levels[code] for code in deciding) > COLOURS.index(colour) + 1


def _find_time(document: _RiverDocument, body: FeedBody) -> datetime:
    """Return the edition time, else that of the server's copy. Raises FeedDrift."""
    if document.DtHrInfoVigiCru is not None:
        return document.DtHrInfoVigiCru
    headers = {name.lower(): value for name, value in body.headers.items()}
    try:
        edition_time = parsedate_to_datetime(headers["last-modified"])
    except (KeyError, ValueError, TypeError) as error:
        raise FeedDrift("DtHrInfoVigiCru: missing") from error
    if edition_time.tzinfo is None:
        raise FeedDrift("DtHrInfoVigiCru: missing")
    return edition_time


def _read_levels(
    document: _RiverDocument, look: Look, reading: Reading
) -> tuple[dict[str, int], set[str]]:
    """Return the levels of watched sections, and the odd ones. Missing and odd ones are drift."""
    sections = look.territory.sections.decide | look.territory.sections.text
    levels: dict[str, int] = {}
    odd: set[str] = set()
    for feature in document.features:
        properties = feature.get("properties")
        code = properties.get("CdEntCru") if isinstance(properties, dict) else None
        if not isinstance(code, str) or code not in sections:
            continue
        try:
            model = validate_model(_Properties, properties)
            level = LEVELS.get(model.NivInfViCr)
            if level is None or levels.get(code, level) != level:
                raise FeedDrift(f"{code}: level out of range")
            levels[code] = level
        except FeedDrift as fault:
            odd.add(code)
            reading.note_drift(fault)
    for code in odd:
        levels.pop(code, None)
    for code in look.territory.sections.decide:
        if code not in levels and code not in odd:
            reading.note_drift(f"{code}: missing")
    return levels, odd


def _is_agreed(look: Look) -> bool:
    """Return whether Météo-France says orange floods or more, here or next door."""
    floods = look.others.get("meteofrance-vigilance", {}).get("floods")
    if not floods or look.now - read_stored_time(floods["at"]) > SECOND_SOURCE_AGE:
        return False
    return any(colour >= ORANGE for colour in floods["colours"].values())


def _write_colours(levels: dict[str, int], territory: WatchedTerritory) -> str:
    """Write `orange crues : Seine à Paris (IF5) ; jaune : Seine yvelinoise (IF18)`."""
    names = territory.sections.decide | territory.sections.text
    by_level: dict[int, list[str]] = {}
    for code, name in names.items():
        if levels.get(code, 1) > 1:
            by_level.setdefault(levels[code], []).append(f"{name} ({code})")
    if not by_level:
        return "vert crues"
    worst = max(by_level)
    return " ; ".join(
        f"{COLOURS[level - 1]}{' crues' if level == worst else ''} : {', '.join(sections)}"
        for level, sections in sorted(by_level.items(), reverse=True)
    )


def _write_bulletin(reading: Reading) -> str:
    """Write `bulletin 25/01 10 h` from `25012027_10`."""
    day, _, hour = reading.edition.partition("_")
    return f"bulletin {day[:2]}/{day[2:4]} {int(hour)} h"


CONNECTOR = Vigicrues()
