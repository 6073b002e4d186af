"""Compile a territory with the rules of the deciders before it is published.

Deciders would refuse each input that they cannot compile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from schemas.reference import ReferencePublished
from services.alerts.levels.rulebook import Rulebook
from services.console.sites.geometry import load_outlines
from services.continuity.activities.impact_analysis import compile_bia
from services.runtime.decider.maps import Map
from services.territory import Territory, TerritoryInvalid, load_territory
from services.territory.source import Problem, Source

_CODES = ("value_name", "value", "communes", "sender")


def load_tried(folder: Path) -> Territory:
    """Load the territory in `folder` and check it with the rules of the deciders.

    Raises TerritoryInvalid, also for a predicate with an unknown metric or argument, and for
    outlines or place codes that console or front door could not read.
    """
    territory = load_territory(folder)
    sections = Map({section.section.value: section for section in territory.sections})
    published = Map(
        {
            name: ReferencePublished(reference=territory.version, data=data)
            for name, data in sections.items()
        }
    )
    wrong = [
        *_said("alerts", lambda: Rulebook(territory.version, sections)),
        *_said("continuity", lambda: compile_bia(territory.version, published)),
        *_map(folder),
        *_codes(folder, {commune.insee for commune in territory.communes}),
    ]
    if wrong:
        raise TerritoryInvalid(wrong)
    return territory


def _said(service: str, compile_: Callable[[], object]) -> list[Problem]:
    try:
        compile_()
    except Exception as error:  # noqa: BLE001  the decider would raise the same error
        return [
            Problem(
                "escalade.yaml, plans.yaml",
                0,
                f"{service} cannot use these rules: {type(error).__name__} {error}",
            )
        ]
    return []


def _map(folder: Path) -> list[Problem]:
    """Check the outlines; without them, the console does not start."""
    try:
        load_outlines(folder)
    except OSError as error:
        return [Problem("communes.geojson", 0, f"cannot be read: {error.strerror}")]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return [
            Problem(
                "communes.geojson",
                0,
                f"no outlines by INSEE code (GeoJSON, property `insee`): {type(error).__name__} {error}",
            )
        ]
    return []


def _codes(folder: Path, communes: set[str]) -> list[Problem]:
    """Check the codes that others use for places; the file may be absent."""
    problems: list[Problem] = []
    file = Source(folder, "geocodes.csv", problems)
    for line, row in file.rows() if file.exists() else ():
        if missing := [name for name in _CODES if name not in row]:
            file.fault(1, f"missing columns: {', '.join(missing)}")
            break
        for insee in () if row["communes"] == "*" else row["communes"].split("|"):
            if insee not in communes:
                file.fault(line, f"commune {insee!r} is not in communes.csv")
    return problems
