"""Météo-France vigilance: colours of a département for today and tomorrow (DPVigilance v1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.watch.connector import (
    Bodies,
    FeedConnector,
    FeedKey,
    FeedRequest,
    FeedSpec,
    FetchVerdict,
    Look,
    Post,
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
    get_last_day,
    get_paris_day,
    parse_json,
    validate_model,
    write_day,
    write_day_and_hour,
    write_end_hour,
    write_hour,
)
from services.watch.vigilance import (
    ColourDecision,
    Step,
    build_alert_fields,
    decide_colour,
    note_said,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "public-api.meteofrance.fr"
PHENOMENA: Final = {
    "1": "vent",
    "2": "pluie-inondation",
    "3": "orages",
    "4": "crues",
    "5": "neige-verglas",
    "6": "canicule",
    "7": "grand-froid",
}
FLOODS: Final = "4"
"""Vigicrues decides the colour of floods; here they are an information."""
ELSEWHERE: Final = frozenset({"8", "9"})
"""Avalanches and waves: never in the départements that are watched."""
EXTENSION: Final = timedelta(hours=1)
"""An earlier begin, or a later end, by less than this is no news."""


class _Item(StrictModel):
    begin_time: Instant
    end_time: Instant
    color_id: int


class _Phenomenon(StrictModel):
    phenomenon_id: str
    phenomenon_max_color_id: int
    timelaps_items: list[_Item] | None = None


class _Timelaps(StrictModel):
    domain_ids: list[dict[str, Any]]


class _Period(StrictModel):
    echeance: str
    begin_validity_time: Instant
    end_validity_time: Instant
    timelaps: _Timelaps


class _Product(StrictModel):
    update_time: Instant
    periods: list[_Period]


class _Document(StrictModel):
    product: _Product


@dataclass(frozen=True, slots=True)
class _ColourWindow:
    begin: datetime
    end: datetime
    colour: int


@dataclass(frozen=True, slots=True)
class _Forecast:
    """One phenomenon in one period."""

    colour: int
    begin: datetime
    end: datetime
    items: tuple[_ColourWindow, ...]


class MeteofranceVigilance(FeedConnector):
    """Post orange and red as alerts, yellow as information. Absence is not green."""

    spec = FeedSpec(
        name="meteofrance-vigilance",
        title="Vigilance Météo-France",
        hosts=(HOST, "portail-api.meteofrance.fr"),
        poll_s=300,
        heartbeat_s=3 * 3600,
        stale_after_s=12 * 3600,
        speaks_as="meteo_france",
        types=("info", "weather_alert"),
        key=FeedKey("apikey"),
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        path = "/public/DPVigilance/v1/cartevigilance/encours"
        return (FeedRequest("main", f"https://{HOST}{path}"),)

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        document = validate_model(_Document, parse_json(bodies["main"].content))
        return document.product.update_time

    def read(self, bodies: Bodies, look: Look) -> Reading:
        document = validate_model(_Document, parse_json(bodies["main"].content))
        product = document.product
        check_clock(product.update_time, look.now)
        reading = Reading(
            look.memory, edition=format_stamp(product.update_time), edition_at=product.update_time
        )
        periods = {period.echeance: period for period in product.periods}
        if not periods:
            raise FeedDrift("product.periods: empty")
        if set(periods) - {"J", "J1"} or len(periods) != len(product.periods):
            raise FeedDrift("product.periods.echeance: not J and J1")
        if any(p.end_validity_time <= p.begin_validity_time for p in product.periods):
            raise FeedDrift("product.periods: a period ends before it begins")
        newest = max(period.end_validity_time for period in product.periods)
        if is_outdated(product.update_time, look, self.spec) or newest <= look.now:
            reading.verdict = FetchVerdict.STALE
            return reading
        self._read_neighbours(periods, look)
        forecasts = self._read_domain(periods, look, reading)
        for phenomenon in PHENOMENA:
            own_forecasts = forecasts.get(phenomenon)
            if own_forecasts is not None:
                self._judge(phenomenon, own_forecasts, forecasts, look, reading)
        reading.posts.sort(key=lambda post: -int(post.body["severity"]))
        reading.word = _write_word(look.memory)
        return reading.settle()

    def _read_domain(
        self, periods: dict[str, _Period], look: Look, reading: Reading
    ) -> dict[str, list[_Forecast]]:
        """Return the forecasts by phenomenon, today first, without those that drift."""
        forecasts: dict[str, list[_Forecast]] = {}
        drifted_phenomena: set[str] = set()
        if "J" not in periods:
            reading.note_drift("product.periods: no J")
        for name in ("J", "J1"):
            if name not in periods:
                continue
            items = _find_domain(periods[name], look.territory.domain)
            if not items:
                if name == "J" or items is not None:
                    reading.note_drift(f"domain {look.territory.domain}: missing or empty")
                continue
            raw_by_phenomenon: dict[str, Any] = {}
            for raw in items:
                phenomenon = str(raw.get("phenomenon_id")) if isinstance(raw, dict) else ""
                is_double = phenomenon in raw_by_phenomenon and raw == raw_by_phenomenon[phenomenon]
                if phenomenon in ELSEWHERE or is_double:
                    continue
                try:
                    if phenomenon in raw_by_phenomenon:
                        raise FeedDrift(f"phenomenon {phenomenon}: twice, with a difference")
                    raw_by_phenomenon[phenomenon] = raw
                    forecast = _read_phenomenon(raw, periods[name])
                    forecasts.setdefault(phenomenon, []).append(forecast)
                except FeedDrift as fault:
                    drifted_phenomena.add(phenomenon)
                    reading.note_drift(fault)
        for phenomenon in drifted_phenomena:
            forecasts.pop(phenomenon, None)
        _complete(forecasts, look)
        return forecasts

    def _read_neighbours(self, periods: dict[str, _Period], look: Look) -> None:
        """Keep the colour of floods here and next door: a second source for Vigicrues."""
        floods: dict[str, int] = {}
        for period in periods.values():
            for code in (look.territory.domain, *look.territory.neighbours):
                for raw in _find_domain(period, code) or ():
                    try:
                        if isinstance(raw, dict) and raw.get("phenomenon_id") == FLOODS:
                            colour = _read_phenomenon(raw, period).colour
                            floods[code] = max(floods.get(code, 0), colour)
                    except FeedDrift:
                        continue
        look.memory["floods"] = {"at": format_instant(look.now), "colours": floods}

    def _judge(
        self,
        phenomenon: str,
        forecasts: list[_Forecast],
        all_forecasts: dict[str, list[_Forecast]],
        look: Look,
        reading: Reading,
    ) -> None:
        current = [forecast for forecast in forecasts if forecast.end > look.now]
        if not current:
            return
        colour = COLOURS[max(forecast.colour for forecast in current) - 1]
        state = look.memory.setdefault("matters", {}).setdefault(phenomenon, {})
        decision = decide_colour(state, colour, reading.edition, look.now, is_agreed=False)
        reading.soon |= decision.wait
        windows = _find_windows(current, COLOURS.index(colour) + 1)
        if decision.step is Step.NONE:
            decision = _extend(state, colour, windows) or decision
        if decision.step is Step.NONE:
            state.setdefault("colour", "vert" if colour == "vert" else None)
            if state["colour"] is None:
                del state["colour"]
            return
        alias = _choose_alias(phenomenon, look.territory.domain, reading.edition, decision)
        post = self._build(
            phenomenon, colour, decision, alias, windows, all_forecasts, look, reading
        )
        reading.posts.append(post)
        if decision.step is Step.WITHDRAW:
            return
        note_said(state, decision, colour, alias)
        if windows:
            state["from"] = format_instant(windows[0].begin)
            state["until"] = format_instant(windows[-1].end)

    def _build(
        self,
        phenomenon: str,
        colour: str,
        decision: ColourDecision,
        alias: str,
        windows: list[_ColourWindow],
        forecasts: dict[str, list[_Forecast]],
        look: Look,
        reading: Reading,
    ) -> Post:
        assert reading.edition_at is not None
        slug, at = PHENOMENA[phenomenon], format_instant(reading.edition_at)
        if decision.step is Step.WITHDRAW:
            return build_end(
                alias,
                at,
                decision.references[0],
                f"Vigilance rouge {slug} retirée (Météo-France)",
                type="weather_alert",
                phenomenon=slug,
            )
        if decision.step is Step.CANCEL:
            is_alert = decision.is_alert and phenomenon != FLOODS
            return build_end(
                alias,
                at,
                decision.references[0],
                _write_end(slug, colour),
                type="weather_alert" if is_alert else "info",
                phenomenon=slug,
                colour=colour,
            )
        fields = build_alert_fields(decision, colour)
        if phenomenon == FLOODS:
            fields["type"] = "info"
        effective = [
            {"from": format_instant(window.begin), "to": format_instant(window.end)}
            for window in windows
        ]
        full = colour in ("orange", "rouge")
        return build_post(
            alias,
            at,
            **fields,
            phenomenon=slug,
            colour=colour,
            effective=effective,
            headline=_write_headline(slug, colour, windows, look, reading.edition_at),
            description=_describe(phenomenon, forecasts, windows, look) if full else None,
        )


def _find_domain(period: _Period, code: str) -> list[Any] | None:
    """Return the phenomena of a domain; those of a domain that stands twice are joined."""
    phenomena: list[Any] | None = None
    for domain in period.timelaps.domain_ids:
        items = domain.get("phenomenon_items")
        if domain.get("domain_id") == code and isinstance(items, list):
            phenomena = [*(phenomena or ()), *items]
    return phenomena


def _read_phenomenon(raw: Any, period: _Period) -> _Forecast:
    """Return one phenomenon. Raises FeedDrift for any value outside its list."""
    model = validate_model(_Phenomenon, raw)
    if model.phenomenon_id not in PHENOMENA:
        raise FeedDrift("phenomenon_id: unknown")
    if model.phenomenon_max_color_id not in range(1, 5):
        raise FeedDrift(f"phenomenon {model.phenomenon_id}: colour out of range")
    if model.timelaps_items is None and model.phenomenon_id != FLOODS:
        raise FeedDrift(f"phenomenon {model.phenomenon_id}: no timelaps_items")
    items = []
    for item in model.timelaps_items or ():
        if item.color_id not in range(1, 5) or item.end_time <= item.begin_time:
            raise FeedDrift(f"phenomenon {model.phenomenon_id}: item out of range")
        items.append(_ColourWindow(item.begin_time, item.end_time, item.color_id))
    if any(item.colour > model.phenomenon_max_color_id for item in items):
        raise FeedDrift(f"phenomenon {model.phenomenon_id}: an item is graver than its maximum")
    return _Forecast(
        model.phenomenon_max_color_id,
        period.begin_validity_time,
        period.end_validity_time,
        tuple(sorted(items, key=lambda item: item.begin)),
    )


def _complete(forecasts: dict[str, list[_Forecast]], look: Look) -> None:
    """Add the former forecasts of times without one in the body: absence is not green.

    From midnight to 6 h only today is published, and a phenomenon may be missing from a day.
    """
    stored_forecasts: dict[str, list[Any]] = look.memory.setdefault("forecasts", {})
    for phenomenon, new in forecasts.items():
        former = [_load_forecast(one) for one in stored_forecasts.get(phenomenon, ())]
        new += [
            one
            for one in former
            if one.end > look.now and not any(_do_overlap(one, other) for other in new)
        ]
        new.sort(key=lambda forecast: forecast.begin)
        stored_forecasts[phenomenon] = [_dump_forecast(forecast) for forecast in new]


def _do_overlap(one: _Forecast, other: _Forecast) -> bool:
    return one.begin < other.end and other.begin < one.end


def _dump_forecast(forecast: _Forecast) -> dict[str, Any]:
    return {
        "colour": forecast.colour,
        "begin": format_instant(forecast.begin),
        "end": format_instant(forecast.end),
        "items": [
            [format_instant(item.begin), format_instant(item.end), item.colour]
            for item in forecast.items
        ],
    }


def _load_forecast(content: dict[str, Any]) -> _Forecast:
    items = tuple(
        _ColourWindow(read_stored_time(begin), read_stored_time(end), colour)
        for begin, end, colour in content["items"]
    )
    begin, end = read_stored_time(content["begin"]), read_stored_time(content["end"])
    return _Forecast(content["colour"], begin, end, items)


def _find_windows(forecasts: list[_Forecast], colour: int) -> list[_ColourWindow]:
    """Return the periods with at least this colour, joined; without hours, the whole periods."""
    windows: list[_ColourWindow] = []
    for forecast in forecasts:
        if forecast.colour < colour:
            continue
        grave = [item for item in forecast.items if item.colour >= colour]
        windows += grave or [_ColourWindow(forecast.begin, forecast.end, forecast.colour)]
    joint_windows: list[_ColourWindow] = []
    for window in sorted(windows, key=lambda item: item.begin):
        if joint_windows and window.begin <= joint_windows[-1].end:
            last = joint_windows.pop()
            joint_windows.append(_ColourWindow(last.begin, max(last.end, window.end), colour))
        else:
            joint_windows.append(window)
    return joint_windows


def _extend(
    state: dict[str, Any], colour: str, windows: list[_ColourWindow]
) -> ColourDecision | None:
    """Return the update of an alert that now begins earlier or lasts longer; else None."""
    stands = state.get("opened") and state.get("colour") == colour and "until" in state
    if not stands or not windows or colour not in ("orange", "rouge"):
        return None
    is_longer = windows[-1].end >= read_stored_time(state["until"]) + EXTENSION
    is_earlier = "from" in state and windows[0].begin <= read_stored_time(state["from"]) - EXTENSION
    if not is_longer and not is_earlier:
        return None
    return ColourDecision(Step.UPDATE, (state["alias"],), is_alert=True)


def _choose_alias(phenomenon: str, domain: str, edition: str, decision: ColourDecision) -> str:
    alias = f"mf-vigilance:{domain}:{phenomenon}:{edition}"
    if decision.step is Step.WITHDRAW:
        return f"{alias}:withdrawn"
    return f"{alias}:confirmed" if decision.confirms else alias


def _write_headline(
    slug: str, colour: str, windows: list[_ColourWindow], look: Look, edition: datetime
) -> str:
    today, first, last = get_paris_day(edition), windows[0], windows[-1]
    day, end_day = get_paris_day(first.begin), get_last_day(last.end)
    names = {today: "aujourd’hui", today + timedelta(days=1): "demain"}
    if colour == "jaune":
        if day == end_day and day == today + timedelta(days=1):
            return f"Vigilance jaune {slug} demain (Météo-France)"
        hours = f"{write_day_and_hour(first.begin)} – {write_day_and_hour(last.end)}"
        return f"Vigilance jaune {slug}, {hours} (Météo-France)"
    if day == end_day and len(windows) == 1:
        when = f"{names.get(day, 'le')} {write_day(day)}, {_write_hours(first)}"
    else:
        when = f"{write_day_and_hour(first.begin)} – {write_day_and_hour(last.end)}"
    return f"Vigilance {colour} {slug} {when}, {look.territory.name} (Météo-France)"


def _write_hours(window: _ColourWindow) -> str:
    return f"{write_hour(window.begin)} – {write_end_hour(window.end)}"


def _describe(
    phenomenon: str, forecasts: dict[str, list[_Forecast]], windows: list[_ColourWindow], look: Look
) -> str:
    """Describe the colours of the days, and the other phenomena that are not green."""
    day = get_paris_day(windows[0].begin)
    items = [
        item
        for forecast in forecasts[phenomenon]
        for item in forecast.items
        if item.colour > 1 and get_paris_day(item.begin) == day
    ]
    parts = []
    for n, item in enumerate(items):
        colour = COLOURS[item.colour - 1]
        if n == 0 and len(items) > 1:
            parts.append(f"{colour} dès {write_hour(item.begin)}")
        elif n == len(items) - 1 and n > 0:
            parts.append(f"{colour} jusqu’à {write_end_hour(item.end)}")
        else:
            parts.append(f"{colour} {_write_hours(item)}")
    text = f"Annoncé : {', '.join(parts)}." if parts else ""
    for other, other_forecasts in forecasts.items():
        worst = max((f.colour for f in other_forecasts if f.end > look.now), default=1)
        if other != phenomenon and worst > 1:
            text += f" {PHENOMENA[other].capitalize()} {COLOURS[worst - 1]}."
    return text.strip()


def _write_end(slug: str, colour: str) -> str:
    if colour == "vert":
        return f"Fin de la vigilance {slug} (Météo-France)"
    return f"Vigilance {slug} abaissée : {colour} (Météo-France)"


def _write_word(memory: dict[str, Any]) -> str:
    """Write `neige-verglas orange, vent jaune`, the gravest first."""
    standing = [
        (-COLOURS.index(state["colour"]), phenomenon)
        for phenomenon, state in memory.get("matters", {}).items()
        if state.get("colour") not in (None, "vert")
    ]
    words = [f"{PHENOMENA[phenomenon]} {COLOURS[-rank]}" for rank, phenomenon in sorted(standing)]
    return ", ".join(words) or "vert"


CONNECTOR = MeteofranceVigilance()
