"""A territory tried on the rules of the deciders, before anything is published: what they cannot compile they would refuse as an input, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from immutables import Map

from schemas.reference import ReferencePublished
from services.alerts.rulebook import Rulebook
from services.continuity.bia import compile_bia
from services.territory import Territory, TerritoryInvalid, load_territory
from services.territory.source import Problem


def load_tried(folder: Path) -> Territory:
    """The territory in `folder`. Raises TerritoryInvalid, also for a predicate that names a metric or an argument that is none."""
    territory = load_territory(folder)
    sections = Map({section.section.value: section for section in territory.sections})
    published = Map({name: ReferencePublished(reference=territory.version, data=data) for name, data in sections.items()})
    wrong = [
        *_said("alerts", lambda: Rulebook(territory.version, sections)),
        *_said("continuity", lambda: compile_bia(territory.version, published)),
    ]
    if wrong:
        raise TerritoryInvalid(wrong)
    return territory


def _said(service: str, compile_: Callable[[], object]) -> list[Problem]:
    try:
        compile_()
    except Exception as error:  # noqa: BLE001  whatever it is, the decider would raise it
        return [Problem("escalade.yaml, plans.yaml", 0, f"{service} cannot use these rules: {type(error).__name__} {error}")]
    return []
