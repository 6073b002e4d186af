"""CERT-FR: security alerts, matched with the products in use."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Final

from lxml import etree
from pydantic import Field

from services.watch.connector import (
    Bodies,
    FeedConnector,
    FeedRequest,
    FeedSpec,
    Look,
    Memory,
    Reading,
    build_end,
    build_post,
)
from services.watch.parsing import (
    BodyRefused,
    FeedDrift,
    ParisDay,
    StrictModel,
    check_clock,
    format_instant,
    get_paris_day,
    lower_first,
    parse_json,
    validate_model,
)
from services.watch.watched import WatchedTerritory

HOST: Final = "www.cert.ssi.gouv.fr"
REFERENCE: Final = re.compile(r"CERT(FR|A)-\d{4}-ALE-\d{3,4}", re.ASCII)
NEWS_WITHIN: Final = timedelta(days=60)
"""A new or revised alert is dated at most this long before the newest one known."""
MOST_ITEMS: Final = 20
"""Items fetched in one round; the others follow in the next."""
_MARK: Final = re.compile(r"^\s*\[[^\]]{1,20}\]\s*")
_DAY_MARK: Final = re.compile(r"\s*\(\d{1,2}(er)? \w+ \d{4}\)\s*$")
"""Day at the end of a title in the RSS feed."""
_ITEM: Final = "item:"


class _Entry(StrictModel):
    reference: str
    last_revision_date: ParisDay
    json_url: str
    title: str | None = None
    """Title in the RSS feed; the index has none."""


class _Named(StrictModel):
    name: str


class _Risk(StrictModel):
    description: str


class _AffectedProduct(StrictModel):
    name: str
    vendor: _Named


class _System(StrictModel):
    product: _AffectedProduct | None = None


class _Revision(StrictModel):
    revision_date: ParisDay
    description: str


class _Bulletin(StrictModel):
    reference: str
    title: str
    cves: list[_Named] = Field(default_factory=list)
    risks: list[_Risk] = Field(default_factory=list)
    affected_systems: list[_System] = Field(default_factory=list)
    revisions: list[_Revision] = Field(default_factory=list)
    closed_at: ParisDay | None


class CertFr(FeedConnector):
    """Post new and revised alerts as information. The first run takes all of them as known."""

    spec = FeedSpec(
        name="cert-fr",
        title="Alertes du CERT-FR",
        hosts=(HOST,),
        poll_s=3600,
        heartbeat_s=12 * 3600,
        stale_after_s=0,
        speaks_as="anssi",
        types=("info",),
        pause_s=5.0,
    )

    def list_requests(self, territory: WatchedTerritory) -> Sequence[FeedRequest]:  # noqa: ARG002
        rss = f"https://{HOST}/alerte/feed/"
        return (FeedRequest("main", f"https://{HOST}/alerte/json/", fallback=rss),)

    def list_follow_ups(
        self,
        bodies: Bodies,
        memory: Memory,
        territory: WatchedTerritory,  # noqa: ARG002
    ) -> Sequence[FeedRequest]:
        try:
            entries, _ = _read_index(bodies["main"].content)
        except (BodyRefused, FeedDrift):
            return ()
        alert_states = memory.get("known")
        if alert_states is None:
            return ()
        changed_entries = [e for e in entries if _is_news(e, alert_states)]
        return [
            FeedRequest(f"{_ITEM}{e.reference}", f"https://{HOST}{e.json_url}", optional=True)
            for e in changed_entries[:MOST_ITEMS]
        ]

    def find_companions(self, file: Path) -> Mapping[str, Path]:
        """Find `item-<name>.json` beside `<name>.json`; each names its alert.

        An alert without one takes any `item-*.json` that was last revised on the same day.
        """
        companions = {}
        for path in file.parent.glob(f"item-{file.stem}*.json"):
            match = REFERENCE.search(path.read_text(encoding="utf-8", errors="replace"))
            if match:
                companions[f"{_ITEM}{match.group()}"] = path
        try:
            entries, _ = _read_index(file.read_bytes())
        except (BodyRefused, FeedDrift, OSError):
            return companions
        days = {entry.reference: entry.last_revision_date for entry in entries}
        for path in sorted(file.parent.glob("item-*.json")):
            item = _read_item(path)
            revision_date = (
                max((r.revision_date for r in item.revisions), default=None) if item else None
            )
            if item and revision_date is not None and days.get(item.reference) == revision_date:
                companions.setdefault(f"{_ITEM}{item.reference}", path)
        return companions

    def find_edition_time(self, bodies: Bodies) -> datetime | None:
        entries, _ = _read_index(bodies["main"].content)
        days = [entry.last_revision_date for entry in entries]
        return max(days) + timedelta(hours=10) if days else None

    def read(self, bodies: Bodies, look: Look) -> Reading:
        entries, faults = _read_index(bodies["main"].content)
        if not entries:
            raise FeedDrift(faults[0] if faults else "index: empty")
        newest = max(entries, key=lambda entry: entry.last_revision_date)
        check_clock(newest.last_revision_date, look.now)
        reading = Reading(
            look.memory,
            edition=f"{newest.reference} {get_paris_day(newest.last_revision_date)}",
            edition_at=newest.last_revision_date,
        )
        for fault in faults:
            reading.note_drift(fault)
        first = "known" not in look.memory
        alert_states: dict[str, dict[str, str]] = look.memory.setdefault("known", {})
        for entry in entries:
            if first:
                alert_states[entry.reference] = {
                    "date": _get_date(entry),
                    "alias": _name_alias(entry),
                }
            elif _is_news(entry, alert_states):
                self._judge(entry, bodies, look, reading)
        reading.word = f"{newest.reference}, {get_paris_day(newest.last_revision_date):%d/%m/%Y}"
        return reading.settle()

    def _judge(self, entry: _Entry, bodies: Bodies, look: Look, reading: Reading) -> None:
        """Post an alert that is new, revised or closed. Without its item it waits.

        If only the RSS feed answers, its title is reported; the item follows when it can be read.
        """
        body = bodies.get(f"{_ITEM}{entry.reference}")
        if body is None:
            if entry.title is not None:
                self._announce(entry, look, reading)
            return
        try:
            item = validate_model(_Bulletin, parse_json(body.content))
            if item.reference != entry.reference:
                raise FeedDrift("item: another reference")
            if _is_far_behind(entry, look.memory["known"]):
                raise FeedDrift("last_revision_date: far behind what was read before")
        except (BodyRefused, FeedDrift) as fault:
            reading.note_drift(f"{entry.reference}: {fault}")
            return
        alert_states: dict[str, dict[str, str]] = look.memory["known"]
        alert_state = alert_states.get(entry.reference, {})
        if item.closed_at is not None:
            if "closed" not in alert_state and "alias" in alert_state:
                reading.posts.append(
                    build_end(
                        f"certfr:{entry.reference}:closed",
                        format_instant(item.closed_at),
                        alert_state["alias"],
                        f"{entry.reference} : alerte close par le CERT-FR",
                        type="info",
                    )
                )
            alert_states[entry.reference] = {**alert_state, "date": _get_date(entry), "closed": "1"}
            return
        system = _find_system(item, look.territory)
        alias = _name_alias(entry)
        if alias == alert_state.get("alias"):
            alias += ":item"
        reading.posts.append(
            build_post(
                alias,
                format_instant(entry.last_revision_date),
                type="info",
                severity=3 if system else 1,
                msg_type="Update" if "alias" in alert_state else None,
                references=[alert_state["alias"]] if "alias" in alert_state else None,
                measure={"object": f"system:{system}"} if system else None,
                headline=_write_headline(item, in_use=system is not None),
                description=_describe(item),
                plan_hint="PT-CYBER" if system else None,
            )
        )
        alert_states[entry.reference] = {"date": _get_date(entry), "alias": alias}

    def _announce(self, entry: _Entry, look: Look, reading: Reading) -> None:
        """Post an alert of which only the title is known."""
        alert_states: dict[str, dict[str, str]] = look.memory["known"]
        alert_state = alert_states.get(entry.reference, {})
        if alert_state.get("date") == _get_date(entry) or _is_far_behind(entry, alert_states):
            return
        alias = _name_alias(entry)
        reading.posts.append(
            build_post(
                alias,
                format_instant(entry.last_revision_date),
                type="info",
                severity=1,
                msg_type="Update" if "alias" in alert_state else None,
                references=[alert_state["alias"]] if "alias" in alert_state else None,
                headline=f"{entry.reference} : {lower_first(entry.title or '')}",
            )
        )
        alert_states[entry.reference] = {
            "date": _get_date(entry),
            "alias": alias,
            "item": "awaited",
        }


def _read_index(content: bytes) -> tuple[list[_Entry], list[str]]:
    """Return the entries of the index, JSON or RSS, and the faults of those that are none.

    Raises BodyRefused, FeedDrift.
    """
    if content.lstrip()[:1] == b"<":
        return list(_read_rss(content)), []
    document = parse_json(content)
    if not isinstance(document, list):
        raise FeedDrift("index: no list")
    entries: list[_Entry] = []
    faults: list[str] = []
    for raw in document:
        try:
            entries.append(_read_entry(raw))
        except FeedDrift as fault:
            faults.append(str(fault))
    return entries, faults


def _read_item(file: Path) -> _Bulletin | None:
    try:
        return validate_model(_Bulletin, parse_json(file.read_bytes()))
    except (BodyRefused, FeedDrift):
        return None


def _read_entry(raw: object) -> _Entry:
    """Return one entry of the index. Raises FeedDrift."""
    entry = validate_model(_Entry, raw)
    expected = f"/alerte/{entry.reference}/json/"
    if not REFERENCE.fullmatch(entry.reference) or entry.json_url != expected:
        raise FeedDrift("index: an entry is no alert")
    return entry


def _read_rss(content: bytes) -> Iterator[_Entry]:
    """Yield the entries of the RSS feed, the fallback of the index."""
    if b"<!DOCTYPE" in content.upper() or b"<!ENTITY" in content.upper():
        raise BodyRefused("a document type is declared")
    try:
        context = etree.iterparse(
            BytesIO(content),
            events=("end",),
            tag="item",
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )
        for _, element in context:
            match = REFERENCE.search(element.findtext("link") or "")
            try:
                time = parsedate_to_datetime(element.findtext("pubDate") or "")
            except (ValueError, TypeError) as error:
                raise FeedDrift("pubDate: unreadable") from error
            if match is None or time.tzinfo is None:
                raise FeedDrift("item: no alert")
            yield _build_entry(match.group(), time, element.findtext("title") or "")
    except (etree.XMLSyntaxError, etree.LxmlError) as error:
        raise BodyRefused("not XML") from error


def _build_entry(reference: str, time: datetime, title: str) -> _Entry:
    day = get_paris_day(time).isoformat()
    return _Entry.model_validate(
        {
            "reference": reference,
            "last_revision_date": day,
            "json_url": f"/alerte/{reference}/json/",
            "title": _DAY_MARK.sub("", title).strip()[:1000],
        }
    )


def _is_news(entry: _Entry, alert_states: Mapping[str, Mapping[str, str]]) -> bool:
    alert_state = alert_states.get(entry.reference, {})
    return alert_state.get("date", "") < _get_date(entry) or "item" in alert_state


def _is_far_behind(entry: _Entry, alert_states: dict[str, dict[str, str]]) -> bool:
    """Return whether news has a date long before that of the newest alert known."""
    newest = max(
        (date.fromisoformat(alert_state["date"]) for alert_state in alert_states.values()),
        default=None,
    )
    return newest is not None and get_paris_day(entry.last_revision_date) < newest - NEWS_WITHIN


def _get_date(entry: _Entry) -> str:
    return get_paris_day(entry.last_revision_date).isoformat()


def _name_alias(entry: _Entry) -> str:
    return f"certfr:{entry.reference}:{_get_date(entry)}"


def _find_system(item: _Bulletin, territory: WatchedTerritory) -> str | None:
    """Return the system that uses an affected product."""
    for system in item.affected_systems:
        if system.product is None:
            continue
        name, vendor = system.product.name.casefold(), system.product.vendor.name.casefold()
        for inventory_item in territory.inventory:
            if (
                inventory_item.vendor.casefold() == vendor
                and inventory_item.product.casefold() in name
            ):
                return inventory_item.system
    return None


def _write_headline(item: _Bulletin, *, in_use: bool) -> str:
    title = lower_first(_MARK.sub("", item.title).strip())
    words = [f"{item.reference} : {title}"]
    if len(item.revisions) > 1:
        newest = max(item.revisions, key=lambda revision: revision.revision_date)
        word = re.sub(r"\s+constatée?s?$", "", newest.description.strip().rstrip("."))
        words.append(lower_first(word))
    text = ", ".join(words)
    return f"{text} (produit à l’inventaire)" if in_use else text


def _describe(item: _Bulletin) -> str:
    parts = [", ".join(cve.name for cve in item.cves), ", ".join(r.description for r in item.risks)]
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)[:2000]


CONNECTOR = CertFr()
