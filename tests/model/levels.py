"""The level that reports give by rules D27 to D29, D31 and D72 alone, without plans and clocks.

The model reads the reports of sites in the order of their arrival, and remembers no incident: each
stays open, so a report counts for severities for good, and a level only rises.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

POWER_CLOSES_PCT = 80
HIT, ORDINARY = 3, 2
ORDINARY_KINDS = frozenset({"parc", "sport", "gymnase", "culture"})
CENTRAL, COMPUTERS = "site_central", "datacenter"
CLOSING = {"closure": "closed", "evacuation": "evacuated", "shelter_in_place": "sheltering"}
COLOURS = {"orange": 2, "rouge": 3}
FLAGS = {"strike_notice": 1, "cod_active": 3, "orsec_means_requested": 4, "total_isolation": 4}


@dataclass(frozen=True)
class Place:
    id: str
    kind: str
    pole: str
    generator: bool


@dataclass(frozen=True)
class Said:
    """One report: of trouble at a site, of its end, of a colour, or of a flag."""

    type: str
    site: str = ""
    severity: int = 1
    loss: int = 0
    colour: str = ""
    flag: str = ""


@dataclass
class Level:
    places: dict[str, Place]
    value: int = 0
    """The level so far: it falls by a decision alone."""
    _causes: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Open trouble: (site, type) → severity that counts, loss."""
    _worst: Counter[str] = field(default_factory=Counter)
    """Kind of site → worst severity that was ever reported there."""
    _declared: int = 0

    def hear(self, report: Said) -> int:
        """Return the level after one more report."""
        if report.colour:
            self._declared = max(self._declared, COLOURS.get(report.colour, 0))
        elif report.flag:
            self._declared = max(self._declared, FLAGS[report.flag])
        elif report.type == "reopening":
            for key in [key for key in self._causes if key[0] == report.site]:
                del self._causes[key]
        else:
            self._add_trouble(report)
        self.value = max(self.value, self._declared, self._judge())
        return self.value

    def _add_trouble(self, report: Said) -> None:
        kind, key = self.places[report.site].kind, (report.site, report.type)
        is_ordinary = report.type == "closure" and kind in ORDINARY_KINDS
        severity = min(report.severity, ORDINARY) if is_ordinary else report.severity
        self._worst[kind] = max(self._worst[kind], severity)
        before = self._causes.get(key, (0, 0))
        self._causes[key] = max(before[0], severity), max(before[1], report.loss)

    def _judge(self) -> int:
        hit = {site for (site, _type), (severity, _) in self._causes.items() if severity >= HIT}
        out = {
            site
            for (site, type), (severity, loss) in self._causes.items()
            if severity >= HIT and self._is_closing(site, type, loss)
        }
        hit_by_pole = Counter(self.places[site].pole for site in hit)
        out_by_pole = Counter(self.places[site].pole for site in out)
        for counts in (hit_by_pole, out_by_pole):
            del counts["multi"]
        central = max(self._worst[CENTRAL], self._worst[COMPUTERS])
        if (
            sum(count >= 3 for count in out_by_pole.values()) >= 2
            or any(self.places[site].kind == CENTRAL for site in out)
            or central >= 5
        ):
            return 3
        if (
            max(self._worst.values(), default=0) >= 4
            or central >= 3
            or max(hit_by_pole.values(), default=0) >= 3
        ):
            return 2
        return 1 if self._worst else 0

    def _is_closing(self, site: str, type: str, loss: int) -> bool:
        if type == "outage_power":
            return loss >= (100 if self.places[site].generator else POWER_CLOSES_PCT)
        return type in CLOSING
