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
    facts_by_kind = rows(scene.facts)
    realm_state = Held(
        scene.realm,
        {name: dict(facts_by_kind[name]) for name in ("incidents", "reports")},
        clock=scene.at(60),
        reference=reference(),
    )
    for plan in plans:
        realm_state.put(
            "plans",
            {
                "id": plan,
                "state": "proposed",
                "level": 1,
                "incident": incident,
                "decides": "directeur_pole",
            },
        )
    return HeldModel(realm_state), incident


async def test_the_plans_of_an_incident_have_one_order() -> None:
    """Present and past used the orders of two stores, and a comparison showed a change."""
    plan_orders = []
    for plans in (TRIGGERED, TRIGGERED[::-1]):
        model, incident = _held(plans)
        plan_orders.append((await model.of("92~test-scene").incident(incident)).plans)
    assert plan_orders[0] == plan_orders[1]


async def test_an_explanation_names_every_report() -> None:
    """The first two hundred only had a reason."""
    model, incident = _held(())
    explanation = await model.of("92~test-scene").explain(incident)
    assert len({r for reason in explanation.correlation for r in reason.reports}) == 250
