"""`python -m services.cli.conductor`: the conductor of simulated realms, with delivery's simulated recipients and continuity's planner."""

from __future__ import annotations

from services.continuity.proposals import Proposals
from services.delivery.simulated import respond
from services.runtime.conducting import run_conductor

if __name__ == "__main__":
    run_conductor(respond, Proposals())
