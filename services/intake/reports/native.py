"""Convert a native JSON body to a report (rules D1 and D2, reports). Pure: no clock, no I/O.

A well-formed body is accepted; the decider judges its meaning. So this module checks shapes and
limits, and facts that only the front knows: the sender, the realm, and whether the realm may be
played.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core.core_schema import no_info_after_validator_function, nullable_schema

from schemas.base import MINUTE_MS, Instant
from schemas.catalogue.event_types import endangers_people
from schemas.topics import RealmNameInvalid, is_live, parse_realm
from schemas.words import Certainty, EventType, MsgType
from services.intake.reports.geography import TerritoryMap, list_place_warnings
from services.intake.reports.report_checks import (
    check_places,
    check_poles,
    check_scope,
    choose_source_kind,
    lower_certainty,
    tells_of_danger,
)
from services.runtime.http.problems import (
    FieldFault,
    ProblemError,
    build_fault,
    build_field_problem,
    list_faults,
)
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import MAX_LOGIN_CHARS, Principal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Time = Annotated[AwareDatetime, Field(ge=_EPOCH)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Insee = Annotated[str, Field(min_length=1, max_length=8)]
PHENOMENA: Final = {
    "avalanches": "avalanches",
    "canicule": "canicule",
    "crues": "crues",
    "grand-froid": "grand-froid",
    "neige-verglas": "neige-verglas",
    "orages": "orages",
    "pluie-inondation": "pluie-inondation",
    "vagues-submersion": "vagues-submersion",
    "vent": "vent",
    "vent-violent": "vent",
}
"""Names of the phenomena in bulletins → names in rules and plans."""


def normalize_phenomenon(name: str) -> str:
    """Return the name of a phenomenon as rules and plans write it.

    «Vent violent» and `vent_violent` become `vent`. Any other word stays as it is.
    """
    return PHENOMENA.get(re.sub(r"[\s_-]+", "-", name.strip().casefold()), name)


@dataclass(frozen=True, slots=True)
class _NullMeansAbsent:
    """Field in which `null` means that it is absent. `absent_value` is the value of an absent field."""

    absent_value: object

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(
            lambda value: self.absent_value if value is None else value,
            nullable_schema(handler(source)),
        )


def _convert_to_integer(value: Any) -> Any:
    """Convert 3.0 to 3, because JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _split_codes(value: Any) -> Any:
    """Split a text of codes as in reference tables; leave a list as it is."""
    if isinstance(value, str):
        return tuple(code.strip() for code in value.replace("|", ",").split(","))
    return tuple(value) if isinstance(value, list) else value


_NONE: Final = _NullMeansAbsent(())
_Codes = Annotated[tuple[Insee, ...], Field(max_length=100)]
Zone = Annotated[_Codes, BeforeValidator(_split_codes, json_schema_input_type=str | _Codes), _NONE]
_WHOLE: Final = BeforeValidator(_convert_to_integer)
FREE_TEXT: Final = ("headline", "description", "area", "attachments")


class _ReportPart(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class EffectivePeriod(_ReportPart):
    """A period of planned effect. Without `to` it has no end."""

    start: Time = Field(alias="from")
    to: Time | None = None


class MeasureBody(_ReportPart):
    """A report may name only an object or a scope; a figure needs the name of its measure."""

    name: str | None = Field(
        default=None, max_length=64, description="required with a value, a `value_of` or a unit"
    )
    value: float | bool | Annotated[str, Field(max_length=256)] | None = None
    value_of: float | None = None
    unit: str | None = Field(default=None, max_length=32)
    scope: str | None = Field(default=None, max_length=64)
    object: str | None = Field(default=None, max_length=256)


class SourceBody(_ReportPart):
    name: str | None = Field(default=None, max_length=200)
    contact: str | None = Field(default=None, max_length=500)


AREA_BYTES: Final = 500_000
"""Maximum bytes of a geometry as an object.

With the whole body beside it, it still fits a record of `texts` (1.25 MiB, compressed).
"""
_CERTAINTY_BY_CAP: Final[dict[str, Certainty]] = {
    "Observed": Certainty.CONFIRMED,
    "Likely": Certainty.CONFIRMED,
    "Possible": Certainty.UNCONFIRMED,
    "Unlikely": Certainty.RUMOUR,
    "Unknown": Certainty.UNCONFIRMED,
}
"""Certainty by CAP value (rule D2). Unknown is a rumour only with `rumour: true`."""


class NativeReport(_ReportPart):
    """One report, the body of `POST /api/v1/reports`. Unknown fields are ignored."""

    realm: str | None = Field(
        default=None, max_length=64, description="default: the live realm of this installation"
    )
    site_id: Id | None = Field(
        default=None, description="an unknown site is accepted and linked by a person (D8)"
    )
    commune: Insee | None = Field(default=None, description="INSEE code")
    zone: Zone = Field(
        default=(), description="INSEE codes: a list, one, or several with | between them"
    )
    area: Annotated[str, Field(max_length=100_000)] | dict[str, Any] | None = Field(
        default=None,
        description=(
            "geometry, WKT or GeoJSON, for the communes and sites in it; a person links it if "
            "it cannot be read"
        ),
    )
    sites: Annotated[tuple[Id, ...], Field(max_length=1_000), _NONE] = Field(
        default=(), description="sites in the area, from a sender that knows them"
    )
    type: EventType
    severity: Annotated[int, Field(ge=1, le=5), _WHOLE]
    certainty: Annotated[
        Literal[
            "confirmed",
            "unconfirmed",
            "rumour",
            "Observed",
            "Likely",
            "Possible",
            "Unlikely",
            "Unknown",
        ],
        _NullMeansAbsent("confirmed"),
    ] = "confirmed"
    rumour: Annotated[bool, _NullMeansAbsent(False)] = False
    urgency: str | None = Field(default=None, max_length=16)
    status: Annotated[Literal["Actual", "Exercise", "Test"], _NullMeansAbsent("Actual")] = "Actual"
    msg_type: Annotated[MsgType, _NullMeansAbsent(MsgType.ALERT)] = MsgType.ALERT
    references: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(max_length=100),
        _NONE,
    ] = Field(
        default=(),
        description=(
            "report ids, or the sender's own ids: an alias or an Idempotency-Key used before"
        ),
    )
    lifts: Annotated[tuple[EventType, ...], Field(max_length=30), _NONE] = ()
    occurred_at: Time
    effective: Annotated[tuple[EffectivePeriod, ...], Field(max_length=100), _NONE] = ()
    expected_duration_h: float | None = Field(default=None, ge=0, le=1_000_000)
    estimated_end: Time | None = None
    headline: str | None = Field(default=None, max_length=2_000)
    description: str | None = Field(default=None, max_length=200_000)
    capacity_lost_pct: float | None = Field(default=None, ge=0, le=100)
    persons_concerned: Annotated[int, Field(ge=0, le=1_000_000_000), _WHOLE] | None = None
    measure: MeasureBody | None = None
    phenomenon: Annotated[str, AfterValidator(normalize_phenomenon)] | None = Field(
        default=None, max_length=64
    )
    colour: Literal["vert", "jaune", "orange", "rouge"] | None = Field(
        default=None, description="colour of a vigilance"
    )
    affected_activities: Annotated[tuple[Id, ...], Field(max_length=100), _NONE] = ()
    plan_hint: str | None = Field(default=None, max_length=256)
    attachments: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=20), _NONE
    ] = ()
    source: SourceBody | None = None
    alias: str | None = Field(
        default=None, min_length=1, max_length=256, description="the sender's own id of this report"
    )
    recorded_at: Time | None = Field(
        default=None, description="simulated realms only, from accounts that may run them"
    )


class BatchItem(NativeReport):
    """One report of a batch. Its key takes the place of the header of a single request."""

    idempotency_key: str | None = None


PARIS: Final = ZoneInfo("Europe/Paris")
FORM_AGE_HEADER: Final = "vigie-filled-ago"
"""Header of the report form: milliseconds since it was filled in, by the clock of its device.

It is no part of the report, so that a repetition stays one.
"""
MAX_FORM_AGE_MS: Final = 30_000
"""Age up to which a form counts as filled in now."""
MAX_WAIT_MS: Final = 72 * 3_600_000
"""Longest time that a form waits on a device and is still dated by it."""
CLOCK_TOLERANCE_MS: Final = 60_000
"""Difference between two clocks that changes no time."""
_ONE: Final[SchemaValidator] = NativeReport.__pydantic_validator__  # type: ignore[assignment]
_ITEM: Final[SchemaValidator] = BatchItem.__pydantic_validator__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class PreparedReport:
    """A report that may go on the log, without its id."""

    realm: str
    message: dict[str, Any]
    """`ReportReceived` without report_id, text_id, fingerprint, None and defaults."""
    text: dict[str, Any]
    """Free text and contacts by field name, for `texts`."""
    at: Instant | None
    """`recorded_at` as given in a simulated realm."""
    danger: bool
    """True for danger to people; it is turned away last."""
    content: bytes
    """The report in canonical form, for fingerprints. Times in it are no finer than `minute`."""
    minute: int
    words: bytes | None = None
    """Text of an alert or typed line, without times. It replaces `content` in the fingerprint.

    A repetition at another time is then recognised.
    """
    is_unplaced: bool = False
    """True if the area cannot be located and the report names no other place."""
    warnings: tuple[FieldFault, ...] = ()
    """Doubts about its place."""


def build_arrival_fields(realm: str) -> dict[str, Any]:
    """Return the fields to change in a report without a time.

    A simulated realm takes the time from its log.
    """
    return {} if is_live(realm) else {"occurred_at": None}


def parse_form_age(header: str | None) -> int | None:
    """Return the value of `Vigie-Filled-Ago`; None if it is absent, wrong or too long ago."""
    if header is None or not header.isascii() or not header.isdecimal() or len(header) >= 10:
        return None
    age = int(header)
    return age if age <= MAX_WAIT_MS else None


def date_form(claim: PreparedReport, now: Instant, age: int) -> PreparedReport:
    """Date a report by the server's clock: the device's may be wrong. Rule D7, late reports.

    A form that was just filled in is of its arrival, in a simulated realm by the log's time. One
    that waited on a device happened `age` milliseconds before its arrival; the time that the device
    showed stays in its text. The fingerprint keeps the device's time, so that a repetition is
    recognised.
    """
    stated = claim.message["occurred_at"]
    dated_content = claim.content + b"%d" % stated
    if age <= MAX_FORM_AGE_MS:
        arrival = {"occurred_at": now if is_live(claim.realm) else None}
        return replace(claim, message=claim.message | arrival, words=dated_content)
    filled_at = now - age
    if not is_live(claim.realm) or abs(filled_at - stated) < CLOCK_TOLERANCE_MS:
        return claim
    return replace(
        claim,
        message=claim.message | {"occurred_at": filled_at},
        words=dated_content,
        text=claim.text
        | {"description": add_remark(claim.text.get("description"), tell_device_time(stated))},
    )


def tell_device_time(stated: Instant) -> str:
    """Return the remark that keeps the time of a device with a wrong clock."""
    local = datetime.fromtimestamp(stated / 1000, PARIS)
    return f"(horloge de l’appareil fausse : {local:%d/%m/%Y %H:%M})"


def add_remark(description: str | None, remark: str) -> str:
    """Return a description with a remark of the front behind it."""
    return f"{description} {remark}" if description else remark


def add_author(claim: PreparedReport, author: str) -> PreparedReport:
    """Return a danger that another account wrote, with that account's id in its text.

    Raises ProblemError `other_author` for any other report. Rule D2, reports that waited.
    """
    if not claim.danger:
        raise ProblemError("other_author")
    remark = f"(écrit sous le compte {author[:MAX_LOGIN_CHARS]}, envoyé par un autre)"
    text = claim.text | {"description": add_remark(claim.text.get("description"), remark)}
    return replace(claim, text=text)


def parse_report(body: bytes) -> NativeReport:
    """Parse a report. Raises ProblemError `invalid` or `not_json` with the faulty fields."""
    try:
        report: NativeReport = _ONE.validate_json(body.removeprefix(BOM_UTF8))
    except ValidationError as error:
        raise build_validation_problem(error) from None
    _check_figures(report)
    return report


def dump_json(document: Any) -> bytes:
    """Serialize a parsed document as JSON.

    Raises ProblemError `invalid` for a depth that can be read but not written.
    """
    try:
        return orjson.dumps(document)
    except TypeError:
        raise build_field_problem(
            "body", "depth", "imbriqué trop profondément", "nested too deeply"
        ) from None


def parse_batch_item(body: bytes) -> BatchItem:
    """Parse one member of a batch. Raises ProblemError."""
    try:
        report: BatchItem = _ITEM.validate_json(body)
    except ValidationError as error:
        raise build_validation_problem(error) from None
    _check_figures(report)
    return report


def build_validation_problem(error: ValidationError) -> ProblemError:
    """Return the problem of an invalid body: `not_json` if unreadable, else the faulty fields."""
    faults = list_faults(error)
    return ProblemError(
        "not_json" if faults[0].code == "json_invalid" else "invalid", faults=faults
    )


def convert_to_milliseconds(at: datetime) -> Instant:
    """Return milliseconds since the epoch, rounded down."""
    delta = at - _EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def prepare_report(
    body: NativeReport,
    principal: Principal,
    default_realm: str,
    resolve: Callable[[str, str], str],
    geography: TerritoryMap | None = None,
    matter: str | None = None,
) -> PreparedReport:
    """Build the report of this body and principal. Raises ProblemError.

    `resolve(realm, reference)` returns the report id of a sender's own id, or the reference itself.
    `matter` is the type of the cause that the report ends or comments. The sender's scope must
    allow that type in place of the report's own: a sender that may open a cause may end it.
    """
    realm = body.realm or default_realm
    check_realm(body, realm, principal)
    body = _match_places(body, geography)
    danger = endangers_people(body.type, body.severity)
    lifts = () if matter else body.lifts
    is_anywhere = tells_of_danger(body.type, body.severity, body.msg_type)
    check_scope(
        principal,
        realm,
        body.site_id,
        matter or body.type,
        lifts,
        is_danger=danger,
        may_be_anywhere=is_anywhere,
    )
    _check_poles(body, principal, None if is_anywhere else geography)
    source_name = body.source.name if body.source else None
    kind = choose_source_kind(source_name, principal, realm, body.site_id)
    message: dict[str, Any] = {
        "source": kind,
        "source_key": principal.id,
        "type": body.type,
        "severity": body.severity,
        "certainty": read_certainty(body),
        "msg_type": body.msg_type,
    }
    for name in (
        "site_id",
        "commune",
        "urgency",
        "expected_duration_h",
        "capacity_lost_pct",
        "persons_concerned",
        "phenomenon",
        "colour",
        "plan_hint",
        "alias",
    ):
        if (value := getattr(body, name)) is not None:
            message[name] = value
    for name in ("zone", "lifts", "affected_activities"):
        if value := getattr(body, name):
            message[name] = value
    if body.measure is not None:
        message["measure"] = body.measure.__dict__
    periods, period_faults = _sort_out_periods(body.effective, is_danger=danger)
    if periods:
        message["effective"] = [
            {
                "start": convert_to_milliseconds(w.start),
                "end": convert_to_milliseconds(w.to) if w.to else None,
            }
            for w in periods
        ]
    if body.estimated_end is not None:
        message["estimated_end"] = convert_to_milliseconds(body.estimated_end)
    text: dict[str, Any] = {name: value for name in FREE_TEXT if (value := getattr(body, name))}
    if body.source is not None:
        if source_name and source_name != kind:
            text["source_name"] = source_name
        if body.source.contact:
            text["contact"] = body.source.contact
    at = None if body.recorded_at is None else convert_to_milliseconds(body.recorded_at)
    try:
        content = orjson.dumps(
            (realm, message, body.references, text, at, *([body.sites] if body.sites else []))
        )
    except TypeError:
        # 64-bit JSON readers cannot hold a number in the geometry.
        raise build_field_problem(
            "area", "number", "nombre hors limites", "number out of range"
        ) from None
    if (
        len(content) > AREA_BYTES
        and isinstance(body.area, dict)
        and len(orjson.dumps(body.area)) > AREA_BYTES
    ):
        raise build_field_problem(
            "area",
            "too_long",
            f"{AREA_BYTES} octets au plus : simplifiez le contour",
            f"at most {AREA_BYTES} bytes: simplify the outline",
        )
    has_place = geography is None or _add_location(body, message, geography)
    _judge_places(body, message, geography, principal, may_be_anywhere=is_anywhere)
    if body.references:
        message["references"] = [resolve(realm, r) for r in body.references]
    occurred_at = convert_to_milliseconds(body.occurred_at)
    message["occurred_at"] = occurred_at
    if at is not None:
        message["recorded_at"] = at
    warnings = period_faults + (
        ()
        if geography is None
        else list_place_warnings(message, geography, has_area=body.area is not None)
    )
    return PreparedReport(
        realm,
        message,
        text,
        at,
        danger,
        content,
        occurred_at // MINUTE_MS,
        is_unplaced=not has_place,
        warnings=warnings,
    )


def _match_places(body: NativeReport, geography: TerritoryMap | None) -> NativeReport:
    """Return the report with the site that is meant, and the commune without spaces.

    A fire at «CLG-0921353w » would have no effect at its site until a person links it.
    """
    places: dict[str, Any] = {}
    if body.commune is not None:
        places["commune"] = body.commune.strip() or body.commune
    try:
        if geography is not None and body.site_id is not None:
            places["site_id"] = geography.find_site(body.site_id)
    except ProblemError:  # the map cannot be read
        pass
    changes = {name: place for name, place in places.items() if place != getattr(body, name)}
    return body.model_copy(update=changes) if changes else body


def _check_poles(body: NativeReport, principal: Principal, geography: TerritoryMap | None) -> None:
    """Refuse a site of another pôle than the principal's. Raises ProblemError `out_of_scope`."""
    if geography is not None:
        check_poles(principal, body.site_id, geography.pole_of)


def _judge_places(
    body: NativeReport,
    message: dict[str, Any],
    geography: TerritoryMap | None,
    principal: Principal,
    *,
    may_be_anywhere: bool,
) -> None:
    """Refuse places that the principal's scope does not cover, or doubt a danger there.

    Raises ProblemError `out_of_scope`.
    """
    if may_be_anywhere:
        message["certainty"] = lower_certainty(principal, message)
    elif geography is not None:
        check_places(
            principal,
            message,
            body.model_fields_set,
            partial(geography.commune_of, body.site_id),
            geography.pole_of,
        )


def _sort_out_periods(
    periods: Sequence[EffectivePeriod], *, is_danger: bool
) -> tuple[list[EffectivePeriod], tuple[FieldFault, ...]]:
    """Return the periods that can hold, and doubts about those that end before they begin.

    One that ends as it begins is over. A danger without another period holds from its time on;
    another report is refused. Raises ProblemError `invalid`.
    """
    reversed_numbers = [
        n for n, period in enumerate(periods) if period.to is not None and period.to < period.start
    ]
    faults = tuple(
        build_fault(
            f"effective.{n}.to",
            "before_from",
            "la fin est avant le début : cette période ne compte pas",
            "the end is before the beginning: this period does not count",
        )
        for n in reversed_numbers
    )
    if faults and not is_danger:
        raise ProblemError("invalid", faults=faults)
    return [p for n, p in enumerate(periods) if n not in reversed_numbers], faults


def _check_figures(report: NativeReport) -> None:
    """Refuse a figure without the name of its measure: no rule could read it.

    Raises ProblemError `invalid`. Rule D76.
    """
    measure = report.measure
    if measure is None or measure.name:
        return
    if measure.value is None and measure.value_of is None and measure.unit is None:
        return
    french = (
        "le nom de la mesure manque, par exemple river_level : une valeur sans nom ne compte pour "
        "rien"
    )
    english = (
        "the name of the measure is missing, for example river_level: a value without a name "
        "counts for nothing"
    )
    raise build_field_problem("measure.name", "missing", french, english)


def _add_location(body: NativeReport, message: dict[str, Any], geography: TerritoryMap) -> bool:
    """Add communes and sites of the area, unless the report names a known site.

    Returns False if the report has no known place. Rule D8, unknown site ids.
    """
    if body.sites:
        message["sites"] = body.sites
    if body.area is None or geography.knows(body.site_id):
        return True
    location = geography.locate(body.area)
    if location is None or not (location.communes or location.sites):
        return bool(body.site_id or body.commune or body.zone)
    if not body.commune and not body.zone and location.zone:
        message["zone"] = location.zone
    if location.sites and not location.whole:
        message["sites"] = location.sites
    return True


def check_realm(body: NativeReport, realm: str, principal: Principal) -> None:
    """Check the realm's name, and that status and `recorded_at` suit it. Raises ProblemError.

    Exercises stay out of live realms (rule D12). `recorded_at` needs the right to run realms.
    """
    try:
        parse_realm(realm)
    except RealmNameInvalid:
        raise ProblemError("invalid", faults=(REALM_FAULT,)) from None
    live = is_live(realm)
    if live and body.status != "Actual":
        raise ProblemError(
            "status_realm",
            faults=(build_fault("status", "status_realm", "territoire réel", "live realm"),),
        )
    if body.recorded_at is None:
        return
    if live:
        raise ProblemError(
            "recorded_at_live",
            faults=(
                build_fault("recorded_at", "recorded_at_live", "territoire réel", "live realm"),
            ),
        )
    if not principal.may(Permission.REALM_RUN):
        raise ProblemError(
            "recorded_at_forbidden",
            faults=(
                build_fault(
                    "recorded_at", "recorded_at_forbidden", "droit absent", "not permitted"
                ),
            ),
        )


REALM_FAULT: Final[FieldFault] = build_fault(
    "realm",
    "realm_name",
    "un territoire s’écrit « 92 » ou « 92~ex-nom »",
    "a realm is written “92” or “92~ex-name”",
)


def read_certainty(body: NativeReport) -> Certainty:
    """Return the certainty of a report, from CAP values or `rumour` (rule D2)."""
    if body.rumour:
        return Certainty.RUMOUR
    return _CERTAINTY_BY_CAP.get(body.certainty) or Certainty(body.certainty)
