"""Refuse a report before it is accepted: its realm is closed, or its sender has no right to it.

The kind decides independence (rule D6, rumours) and authority, so a sender cannot choose it freely.
The table of reserved measures (D76) is the one in force, which the deciders judge by. The console
tells it. The file of the territory's folder stands in before that, and before the first publication.

The decider refuses such a report as well, but by then its sender holds a receipt.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import structlog
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from schemas.catalogue.event_types import EVENT_TYPES, EventKind, endangers_people
from schemas.catalogue.sources import MANAGER, SOURCE_KINDS, STAFF, is_entitled
from schemas.topics import is_live
from schemas.words import Certainty, EventType, MsgType
from services.runtime.http.problems import ProblemError, build_bilingual, build_fault
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal
from services.runtime.process.tasks import retrieve_exception

SHARED: Final = "multi"
"""Pôle of a site where several work (`sites.csv`)."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
log = structlog.get_logger(__name__)
PUBLISHED: Final = "/measures.json"
"""Path of the console that lists the reserved measures of the version in force."""
ASK_AGAIN_S: Final = 10.0
ANSWER_S: Final = 2.0
Ask = Callable[[str, float], Awaitable[Any]]
"""Reads a document of the console: its path, how long it may take."""
UNANSWERED: Final = (
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
"""Errors of a console that is away, or of an unreadable document."""
_SOURCE_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "ars": ("l’ARS", "the regional health agency"),
    "astreinte_si": ("l’astreinte SI", "the IT on-call"),
    "cellule": ("la cellule de crise", "the crisis cell"),
    "cellule_si": ("la cellule SI", "the IT cell"),
    "directeur_de_crise": ("le directeur de crise", "the crisis director"),
    "edr": ("l’EDR", "the EDR"),
    "enedis": ("Enedis", "Enedis"),
    "police": ("la police", "the police"),
    "pompiers": ("les pompiers", "the fire brigade"),
    "prefecture": ("la préfecture", "the préfecture"),
    "prefecture_police": ("la préfecture de police", "the préfecture de police"),
    "rh": ("les RH", "HR"),
    "rssi": ("le RSSI", "the CISO"),
    "rte": ("RTE", "RTE"),
    "vigicrues": ("Vigicrues", "Vigicrues"),
}
"""Names of sources in French and English sentences."""
KNOWN_REALM: Final = "/realm.json"
"""Path of the console with the state of a realm. The front passes it to nobody."""
OPEN_S: Final = 0.25
"""Seconds for which a realm counts as open without another question.

A report in this time after the closing is refused by the decider.
"""
PATIENCE_S: Final = 5.0
"""Longest wait for the answer of the console: it looks for a realm that it does not know."""
SHORT_S: Final = 0.05
"""Wait for the answer about a realm that was open at the last one."""


def choose_source_kind(
    requested_kind: str | None, principal: Principal, realm: str, site: str | None = None
) -> str:
    """Return the kind of source of a report about a site.

    A principal that may not relay reports always has its own kind; but the manager of one site
    speaks of another as any agent does, so that its own manager hears of an order. Rule D2.
    """
    if requested_kind is not None and principal.may(Permission.REPORT_RELAY):
        is_free = not is_live(realm) and _CODE.fullmatch(requested_kind)
        if requested_kind in SOURCE_KINDS or is_free:
            return requested_kind
    kind = principal.source_kind
    return STAFF if kind == MANAGER and is_elsewhere(site, principal.scope.sites) else kind


def is_elsewhere(site: str | None, own_sites: Collection[str]) -> bool:
    """Return whether a report is about a site other than those of its sender."""
    return bool(own_sites) and site is not None and site not in own_sites


def tells_of_danger(type: EventType, severity: int, msg_type: MsgType) -> bool:
    """Return whether a report may be about any place: it tells of danger to people. Rule D2.

    A reopening, an information or a withdrawal may not, whatever its severity.
    """
    is_trouble = EVENT_TYPES[type].kind is EventKind.CAUSE and msg_type is not MsgType.CANCEL
    return is_trouble and endangers_people(type, severity)


def check_scope(
    principal: Principal,
    realm: str,
    site_id: str | None,
    type: str,
    lifts: Iterable[str],
    *,
    is_danger: bool,
    may_be_anywhere: bool = False,
) -> None:
    """Check that a source reports only on its own realms, types and sites, and ends nothing else.

    A source with sites must name one, except for danger to people. `may_be_anywhere`: see
    `tells_of_danger`. Raises ProblemError.
    """
    scope = principal.scope
    if not principal.sees(realm):
        raise ProblemError("out_of_scope", field="realm")
    if scope.types and type not in scope.types:
        raise ProblemError("out_of_scope", field="type")
    if scope.types and not set(lifts) <= set(scope.types):
        raise ProblemError("out_of_scope", field="lifts")
    is_silent_on_site = is_danger and site_id is None
    is_bound = bool(scope.sites) and not (may_be_anywhere or is_silent_on_site)
    if is_bound and site_id not in scope.sites:
        raise ProblemError("out_of_scope", field="site_id")


def check_poles(
    principal: Principal, site_id: str | None, pole_of: Callable[[str | None], str | None]
) -> None:
    """Refuse sites of other pôles, except shared ones, if the scope names pôles.

    Raises ProblemError.
    """
    own = principal.scope.poles
    if own and pole_of(site_id) not in (*own, SHARED):
        raise ProblemError("out_of_scope", field="site_id")


def check_places(
    principal: Principal,
    message: Mapping[str, Any],
    stated_fields: Collection[str],
    own: Callable[[], str | None],
    pole_of: Callable[[str | None], str | None],
) -> None:
    """Refuse other sites and communes if the scope names sites or pôles.

    The commune of the report's own site (`own`) is allowed.

    A place not in `stated_fields` is one of the area's. Raises ProblemError.
    """
    scope = principal.scope
    if not (scope.sites or scope.poles):
        return
    communes = {
        "commune": {message["commune"]} if "commune" in message else set(),
        "zone": set(message.get("zone", ())),
    }
    places = message.get("sites", ())
    is_own = (
        all(site in scope.sites for site in places)
        if scope.sites
        else all(pole_of(site) in scope.poles for site in places)
    )
    beyond = [] if is_own else ["sites"]
    beyond += [name for name, places in communes.items() if places and places != {own()}]
    if beyond:
        raise ProblemError(
            "out_of_scope", field=beyond[0] if beyond[0] in stated_fields else "area"
        )


def lower_certainty(principal: Principal, message: Mapping[str, Any]) -> Certainty:
    """Return the certainty of a danger: a program is not sure of a place beyond its sites.

    The cell confirms such a report. A person who sees a fire is believed anywhere. Rule D6.
    """
    certainty: Certainty = message["certainty"]
    sites = principal.scope.sites
    is_sure = principal.role is not Role.SOURCE or not sites or message.get("site_id") in sites
    names_place = any(message.get(name) for name in ("site_id", "commune", "zone", "sites"))
    if is_sure or not names_place or certainty is not Certainty.CONFIRMED:
        return certainty
    return Certainty.UNCONFIRMED


class Reservation(NamedTuple):
    """Sources of a reserved measure, and the kinds of scope for which it is reserved: () = all."""

    sources: tuple[str, ...]
    scopes: tuple[str, ...] = ()


class ReservedMeasures:
    """Reserved measures of the live territory."""

    def __init__(self, territory: Path) -> None:
        self._file = territory / "mesures.yaml"
        self._read_at: float | None = None
        self._rules: dict[str, Reservation] = {}
        self._published: dict[str, Reservation] | None = None

    async def follow(self, ask: Ask) -> None:
        """Keep up with the version in force, until cancelled."""
        while True:
            await self.renew(ask)
            await asyncio.sleep(ASK_AGAIN_S)

    async def renew(self, ask: Ask) -> None:
        """Ask for the version in force once. Without an answer the known one stays."""
        try:
            answer = await ask(PUBLISHED, ANSWER_S)
            if answer["version"] is not None:
                scopes = answer.get("scopes", {})
                self._published = {
                    name: Reservation(tuple(sources), tuple(scopes.get(name, ())))
                    for name, sources in answer["reserved"].items()
                }
        except UNANSWERED as error:
            log.debug("measures.unasked", error=f"{type(error).__name__}: {error}")

    def check(self, message: Mapping[str, Any]) -> None:
        """Refuse a reserved measure from another source. Raises ProblemError `measure_reserved`."""
        measure = message.get("measure") or {}
        rule = self._load_rules().get(measure.get("name") or "")
        if (
            rule is None
            or measure.get("value") is None
            or is_entitled(message["source"], measure.get("scope"), *rule)
        ):
            return
        words = [
            _SOURCE_NAMES.get(source, (source.replace("_", " "),) * 2) for source in rule.sources
        ]
        french, english = (", ".join(one[n] for one in words) for n in (0, 1))
        fault = build_fault(
            "measure",
            "reserved",
            f"cette mesure est réservée à : {french}",
            f"this measure is reserved to: {english}",
        )
        raise ProblemError(
            "measure_reserved", faults=(fault,), sources=build_bilingual(french, english)
        )

    def _load_rules(self) -> dict[str, Reservation]:
        return self._in_folder() if self._published is None else self._published

    def _in_folder(self) -> dict[str, Reservation]:
        try:
            modified_at = self._file.stat().st_mtime if self._file.exists() else 0.0
            if modified_at != self._read_at:
                self._rules = _load_reserved(self._file) if modified_at else {}
                self._read_at = modified_at
        except (OSError, YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            log.error(
                "measures.unreadable",
                file=str(self._file),
                error=f"{type(error).__name__}: {error}",
                then="the measures that were reserved before stay so",
            )
        return self._rules


def _load_reserved(file: Path) -> dict[str, Reservation]:
    document = YAML(typ="safe").load(file.read_text(encoding="utf-8-sig"))
    table = document.get("mesures", {})
    return {
        name: Reservation(tuple(rule["sources"]), tuple(rule.get("portees") or ()))
        for name, rule in table.items()
        if rule.get("hors_source") == "refuse"
    }


class RealmCheck:
    """Realms that are known to exist. A realm once closed stays closed."""

    def __init__(
        self, own: str, ask: Ask, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask the console about every realm but `own`, the live realm of this machine."""
        self._ask = ask
        self._monotonic = monotonic
        self._open_until = {own: float("inf")}
        self._closed = set[str]()
        self._questions: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    async def check(self, realm: str) -> bool:
        """Return whether a realm is closed. Raises ProblemError `realm_unknown`.

        Without a sure answer the realm passes, and the decider judges. So no report is lost while
        the console is away or behind the log, and a busy console delays no stream of reports: a
        realm that was open waits `SHORT_S` for the answer, and not at all if it is asked for
        already.
        """
        if realm in self._closed or self._is_open(realm):
            return realm in self._closed
        was_open, question = realm in self._open_until, self._questions.get(realm)
        if question is None:
            question = asyncio.create_task(self._look_up(realm))
            question.add_done_callback(lambda _: self._questions.pop(realm, None))
            question.add_done_callback(retrieve_exception)
            self._questions[realm] = question
        elif was_open:
            return False
        await asyncio.wait({question}, timeout=SHORT_S if was_open else PATIENCE_S)
        if question.done():
            question.result()
        return realm in self._closed

    def _is_open(self, realm: str) -> bool:
        return self._monotonic() < self._open_until.get(realm, 0.0)

    async def _look_up(self, realm: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S), self._turn:
                answer = await self._ask(f"{KNOWN_REALM}?name={quote(realm, safe='')}", PATIENCE_S)
            is_known, is_closed = answer["known"], answer["closed"]
        except UNANSWERED as error:
            log.debug("realm.unasked", realm=realm, error=f"{type(error).__name__}: {error}")
            if realm in self._open_until:
                self._open_until[realm] = self._monotonic() + PATIENCE_S
            return
        if is_known is False:
            raise ProblemError("realm_unknown")
        if is_closed:
            self._closed.add(realm)
        elif is_known:
            open_s = float("inf") if is_live(realm) else OPEN_S
            self._open_until[realm] = self._monotonic() + open_s
