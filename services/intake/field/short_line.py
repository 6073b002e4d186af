"""Read a short line such as `117 ELEC`, `117 EAU PARTIEL`, `117 MALADES 12`, `RAS 117`, `STOP 117`.

Case, accents, punctuation, the space between site and keyword, and their order do not matter. The
rest is free text, unless it says that the trouble is over (`117 ELEC RETABLIE`). Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from schemas.replies import parse_headcount_reply, parse_reply
from schemas.words import EventType
from services.intake.integrations.request import build_field_problem

MAX_LINE: Final = 1_600
"""Ten parts of a concatenated SMS."""


class ShortLineKind(StrEnum):
    TROUBLE = "trouble"
    CALM = "calm"
    """The site has nothing to report, and is not silent any more (rule D19)."""
    END = "end"
    """Ends the named cause. Without a name, the decider finds it (rule D16, reopening)."""
    ANSWER = "answer"
    """Answer to a call, for delivery. No report."""


@dataclass(frozen=True, slots=True)
class ShortLine:
    kind: ShortLineKind
    site: str | None = None
    """Short code or site id as written."""
    type: EventType | None = None
    severity: int = 1
    lost: int | None = None
    persons: int | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    type: EventType
    severity: int
    words: str


_TROUBLES: Final = (
    _Trouble(EventType.OUTAGE_POWER, 3, "ELEC ELECTRICITE COURANT POWER"),
    _Trouble(EventType.OUTAGE_WATER, 3, "EAU WATER"),
    _Trouble(EventType.OUTAGE_HEATING, 3, "CHAUF CHAUFFAGE HEATING"),
    _Trouble(EventType.OUTAGE_IT, 3, "SI IT INFORMATIQUE RESEAU INTERNET"),
    _Trouble(EventType.OUTAGE_TELECOM, 3, "TEL TELEPHONE PHONE"),
    _Trouble(EventType.FIRE, 4, "FEU FUMEE INCENDIE FIRE"),
    _Trouble(EventType.EVACUATION, 4, "EVAC EVACUE EVACUATION"),
    _Trouble(EventType.SHELTER_IN_PLACE, 4, "CONFINE CONFINEMENT ABRI SHELTER"),
    _Trouble(EventType.GAS_LEAK, 4, "GAZ GAS"),
    _Trouble(EventType.SECURITY_INCIDENT, 3, "INTRUSION VIOLENCE AGRESSION"),
    _Trouble(EventType.SANITARY_ALERT, 3, "MALADE MALADES SANITAIRE"),
    _Trouble(EventType.DAMAGE_REPORT, 3, "DEGAT DEGATS BATIMENT DAMAGE"),
    _Trouble(EventType.CLOSURE, 4, "FERME FERMEE FERMETURE CLOSED"),
)
"""Severities match the report form for a site that can partly go on.

See `services/console/incidents/report_form.py`.
"""
_BY_WORD: Final[Mapping[str, _Trouble]] = {word: t for t in _TROUBLES for word in t.words.split()}
_CALM_WORDS: Final = frozenset({"RAS"})
_END_WORDS: Final = frozenset({"STOP", "FIN", "REPRISE", "RETABLI", "RETABLIE"})
_RESTORED_WORDS: Final = frozenset(
    {"RETABLI", "RETABLIE", "RETABLIS", "RETABLIES", "REVENU", "REVENUE"}
)
"""Words right after a supply that mean it is back: `EAU RETABLIE`, not `EAU PAS RETABLIE`."""
_FINAL_RESTORED_WORDS: Final = frozenset({"OK", "RAS"})
"""Words that mean it is back if nothing follows: `ELEC OK`, not `ELEC OK GROUPE VIDE`."""
_SUPPLIES: Final = frozenset(
    {
        EventType.OUTAGE_POWER,
        EventType.OUTAGE_WATER,
        EventType.OUTAGE_HEATING,
        EventType.OUTAGE_IT,
        EventType.OUTAGE_TELECOM,
    }
)
"""Causes that these words end. An evacuation that is "OK" is complete, not over."""
_STATES: Final[Mapping[str, tuple[int, int]]] = {
    "PARTIEL": (3, 50),
    "PARTIELLE": (3, 50),
    "PARTIELLEMENT": (3, 50),
    "FERME": (4, 100),
    "FERMEE": (4, 100),
    "TOTAL": (4, 100),
    "TOTALE": (4, 100),
}
"""Severity and share of capacity lost, as for the buttons of the report form."""
_DANGER: Final = frozenset({"DANGER", "BLESSE", "BLESSES", "URGENT"})
_DANGER_SEVERITY: Final = 5
_COUNTS_PERSONS: Final = frozenset({EventType.SANITARY_ALERT, EventType.EVACUATION})
_TOKEN: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9-]*[A-Z0-9])?")
_SITE: Final = re.compile(r"\d{2,6}|[A-Z]{2,8}-[A-Z0-9-]{1,20}")
_JOINED_WORDS: Final = re.compile(r"(\d{2,6})-?([A-Z]+)|([A-Z]+)(\d{2,6})")
"""A code and a keyword without a space: `117ELEC`, `117-ELEC`, `ELEC117`."""
_WORDS: Final = frozenset({*_BY_WORD, *_CALM_WORDS, *_END_WORDS})


def split_words(text: str) -> list[str]:
    """Split into capital words without accents; `R.A.S.` is one word."""
    plain = (
        unicodedata.normalize("NFKD", text[:MAX_LINE]).encode("ascii", "ignore").decode().upper()
    )
    found = _TOKEN.findall(re.sub(r"\b([A-Z])\.(?=[A-Z]\b)", r"\1", plain))
    return [part for token in found for part in _split_joined(token)]


def _split_joined(token: str) -> list[str]:
    """Separate a code from a keyword written without a space."""
    if (glued := _JOINED_WORDS.fullmatch(token)) is None:
        return [token]
    parts = [part for part in glued.groups() if part is not None]
    return parts if _WORDS.intersection(parts) else [token]


def read_line(text: str) -> ShortLine:
    """Read a line. Raises ProblemError `invalid` that names the fault but not the text."""
    words = split_words(text)
    if not words:
        raise build_field_problem("text", "missing", "ligne vide", "empty line")
    site = _find_site(words)
    if site is None and (parse_reply(words[0]) or parse_headcount_reply(words[0])) is not None:
        return ShortLine(ShortLineKind.ANSWER)
    verb = next((w for w in words[:3] if w != site), None)
    if verb in _CALM_WORDS:
        return ShortLine(ShortLineKind.CALM, site)
    if verb in _END_WORDS:
        named = next((_BY_WORD[w] for w in words if w in _BY_WORD), None)
        return ShortLine(ShortLineKind.END, site, None if named is None else named.type)
    trouble = _BY_WORD.get(verb or "")
    if trouble is None:
        raise build_field_problem(
            "text",
            "word",
            "un mot connu est attendu après le site : ELEC, EAU, CHAUF, SI, TEL, FEU, EVAC, GAZ, "
            "MALADES, FERME, RAS, STOP",
            "a known word is expected after the site: ELEC, EAU, CHAUF, SI, TEL, FEU, EVAC, GAZ, "
            "MALADES, FERME, RAS, STOP",
        )
    rest = [w for w in words if w not in (site, verb)]
    return (
        ShortLine(ShortLineKind.END, site, trouble.type)
        if _is_restoration(trouble, rest)
        else _build_trouble(site, trouble, rest)
    )


def has_no_site(text: str) -> bool:
    """Return whether the text names no site and is thus no attempt at a report."""
    return _find_site(split_words(text)) is None


def _find_site(words: Sequence[str]) -> str | None:
    return next((w for w in words[:3] if _SITE.fullmatch(w)), None)


def _is_restoration(trouble: _Trouble, rest: Sequence[str]) -> bool:
    if trouble.type not in _SUPPLIES or not rest:
        return False
    return rest[0] in _RESTORED_WORDS or (rest[0] in _FINAL_RESTORED_WORDS and len(rest) == 1)


def _build_trouble(site: str | None, trouble: _Trouble, rest: Iterable[str]) -> ShortLine:
    severity, lost, persons = trouble.severity, None, None
    for word in list(rest)[:5]:
        if word in _DANGER:
            severity = _DANGER_SEVERITY
        elif word in _STATES:
            graver, lost = _STATES[word]
            severity = max(severity, graver)
        elif word.isdecimal() and persons is None and trouble.type in _COUNTS_PERSONS:
            persons = int(word[:6])
    return ShortLine(ShortLineKind.TROUBLE, site, trouble.type, severity, lost, persons)


def build_report(line: ShortLine, site: str, text: str, at: str) -> dict[str, Any]:
    """Build the native report of a line.

    `site` is the id of the line's code, or the code itself if unknown (rule D8, unknown site ids).
    """
    body: dict[str, Any] = {
        "site_id": site,
        "occurred_at": at,
        "severity": line.severity,
        "description": text[:MAX_LINE],
    }
    match line.kind:
        case ShortLineKind.CALM:
            return body | {"type": EventType.INFO}
        case ShortLineKind.END:
            return body | {
                "type": EventType.REOPENING,
                "lifts": [] if line.type is None else [line.type],
            }
        case _:
            body |= {"type": line.type}
    if line.lost is not None:
        body["capacity_lost_pct"] = line.lost
    if line.persons is not None:
        body["persons_concerned"] = line.persons
    if line.severity == _DANGER_SEVERITY:
        body["urgency"] = "Immediate"
    return body
