"""Compile a territory with the rules of the deciders before it is published.

Deciders would refuse each input that they cannot compile.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from schemas.reference import ReferencePublished
from schemas.topics import RealmKind, RealmNameInvalid, parse_realm
from services.alerts.levels.rulebook import Rulebook
from services.console.sites.geometry import load_outlines
from services.continuity.activities.impact_analysis import compile_impact_analysis
from services.runtime.decider.maps import Map
from services.territory import Territory, TerritoryInvalid, load_territory
from services.territory.source import SourceFile, SourceProblem

_GEOCODE_COLUMNS = ("value_name", "value", "communes", "sender")


def load_checked_territory(folder: Path) -> Territory:
    """Load the territory in `folder` and check it with the rules of the deciders.

    Raises TerritoryInvalid, also for a name that no realm may have, for a predicate with an unknown
    metric or argument, and for outlines or place codes that console or front door could not read.
    """
    territory = load_territory(folder)
    sections = Map({section.section.value: section for section in territory.sections})
    section_by_name = Map(
        {
            name: ReferencePublished(reference=territory.version, data=data)
            for name, data in sections.items()
        }
    )
    wrong = [
        *_check_name(folder),
        *_try_compile("alerts", lambda: Rulebook(territory.version, sections)),
        *_try_compile(
            "continuity", lambda: compile_impact_analysis(territory.version, section_by_name)
        ),
        *_check_outlines(folder),
        *_check_geocodes(folder, {commune.insee for commune in territory.communes}),
    ]
    if wrong:
        raise TerritoryInvalid(wrong)
    return territory


def _check_name(folder: Path) -> list[SourceProblem]:
    """Check the name of the folder, which is that of the live realm."""
    with suppress(RealmNameInvalid):
        if parse_realm(folder.name)[1] is RealmKind.LIVE:
            return []
    return [
        SourceProblem(
            str(folder), 0, "rename the folder: a realm is called by one to eight letters or digits"
        )
    ]


def _try_compile(service: str, compile_: Callable[[], object]) -> list[SourceProblem]:
    try:
        compile_()
    except Exception as error:  # noqa: BLE001  the decider would raise the same error
        return [
            SourceProblem(
                "escalade.yaml, plans.yaml",
                0,
                f"{service} cannot use these rules: {type(error).__name__} {error}",
            )
        ]
    return []


def _check_outlines(folder: Path) -> list[SourceProblem]:
    """Check the outlines; without them, the console does not start."""
    try:
        load_outlines(folder)
    except OSError as error:
        return [SourceProblem("communes.geojson", 0, f"cannot be read: {error.strerror}")]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return [
            SourceProblem(
                "communes.geojson",
                0,
                f"no outlines by INSEE code (GeoJSON, property `insee`): {type(error).__name__} {error}",
            )
        ]
    return []


def _check_geocodes(folder: Path, communes: set[str]) -> list[SourceProblem]:
    """Check the codes that others use for places; the file may be absent."""
    problems: list[SourceProblem] = []
    file = SourceFile(folder, "geocodes.csv", problems)
    for line, row in file.rows() if file.exists() else ():
        if missing := [name for name in _GEOCODE_COLUMNS if name not in row]:
            file.fault(1, f"missing columns: {', '.join(missing)}")
            break
        for insee in () if row["communes"] == "*" else row["communes"].split("|"):
            if insee not in communes:
                file.fault(line, f"commune {insee!r} is not in communes.csv")
    return problems
