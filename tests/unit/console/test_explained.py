"""An incident explains its reports and lists its plans, the same for every reader."""

from __future__ import annotations

from tests.unit.alerts.scene import Scene, rows
from tests.unit.console.held import Held, HeldModel, reference

TRIGGERED = ("PT-ELEC", "PCA-education", "PT-CRUE")


def _held(plans: tuple[str, ...]) -> tuple[HeldModel, str]:
    scene = Scene()
    for n in range(250):
        id = scene.report(n / 10, "outage_power", "pmi-04", severity=3)
    incident = scene.incident_of(id).id
    found = rows(scene.facts)
    held = Held(
        scene.realm,
        {name: dict(found[name]) for name in ("incidents", "reports")},
        clock=scene.at(60),
        reference=reference(),
    )
    for plan in plans:
        held.put(
            "plans",
            {
                "id": plan,
                "state": "proposed",
                "level": 1,
                "incident": incident,
                "decides": "directeur_pole",
            },
        )
    return HeldModel(held), incident


async def test_the_plans_of_an_incident_have_one_order() -> None:
    """Present and past used the orders of two stores, and a comparison showed a change."""
    seen = []
    for plans in (TRIGGERED, TRIGGERED[::-1]):
        model, incident = _held(plans)
        seen.append((await model.of("92~test-scene").incident(incident)).plans)
    assert seen[0] == seen[1]


async def test_an_explanation_names_every_report() -> None:
    """The first two hundred only had a reason."""
    model, incident = _held(())
    said = await model.of("92~test-scene").explain(incident)
    assert len({r for reason in said.correlation for r in reason.reports}) == 250
