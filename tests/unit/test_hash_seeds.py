"""Two processes decide the same, byte for byte: sets and persistent maps have no order."""

from __future__ import annotations

import json

import pytest

from tests.hashseeds import printed
from tests.unit.continuity.reassignment.cases import META, ROWS

END = "\f"
"""Between the outputs of two parts."""
CAUSES = """
from schemas.reports import Measure
from schemas.words import EventType as T, MsgType
from tests.unit.alerts.scene import Scene

scene = Scene()
lifts = (T.CLOSURE, T.DAMAGE_REPORT, T.OUTAGE_WATER, T.OUTAGE_HEATING, T.FIRE)
for n, kind in enumerate(lifts):
    scene.report(n, kind.value, "pmi-04")
scene.report(9, "reopening", "pmi-04", id="open", lifts=lifts, severity=1)
scene.report(10, "reopening", "pmi-04", msg_type=MsgType.CANCEL, references=("open",), severity=1)
systems = Measure(object="|".join(f"system:s{n}" for n in range(6)))
scene.report(11, "outage_it", severity=4, capacity_lost_pct=100.0, id="down", measure=systems)
scene.report(12, "outage_it", severity=4, msg_type=MsgType.CANCEL, references=("down",))
print([(type(f).__name__, f.model_dump_json()) for f in scene.facts])
"""
CLOCKS = """
from tests.unit.continuity.world import World

world = World()
for n, site in enumerate(sorted(world.state.bia.sites)[::9]):
    world.hit(site, since=f"09:4{n % 10}", loss=60 + n, known="10:00")
world.flag("flag:total_isolation", True, "10:05")
world.announce("12:00", "10:06")
world.until("10:20")
print([(f.type, f.id, f.at, f.data) for f in world.records()])
"""
PROPOSAL = f"""
import runpy
import sys

sys.argv = ["vigie", "reassignment", "solve", "--situations", {str(ROWS)!r}, "--meta", {str(META)!r}]
sys.argv += ["--name", "S10-fire", "--json"]
runpy.run_module("services.cli", run_name="__main__")
"""


@pytest.fixture(scope="module")
def outputs() -> list[list[str]]:
    """Run the three parts in one process per seed; return its outputs."""
    parts = f"; print({END!r}, end=''); ".join(
        f"exec({part!r}, {{}})" for part in (CAUSES, CLOCKS, PROPOSAL)
    )
    return [output.split(END) for output in printed(["-c", parts])]


@pytest.mark.parametrize("part", [0, 1], ids=["alerts", "continuity"])
def test_facts_do_not_depend_on_the_hash_seed(outputs: list[list[str]], part: int) -> None:
    (common_output,) = {output[part] for output in outputs}
    assert len(common_output) > 1000


def test_two_processes_write_the_same_proposal(outputs: list[list[str]]) -> None:
    proposals = [json.loads(output[2]) for output in outputs]
    for proposal in proposals:
        assert proposal.pop("solve_s") > 0
    assert all(proposal == proposals[0] for proposal in proposals)
