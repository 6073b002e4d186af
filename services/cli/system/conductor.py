"""Run the conductor of simulated realms: `python -m services.cli.system.conductor`.

It includes delivery's simulated recipients and continuity's planner.
"""

from services.continuity.reassignment.proposals import Proposals
from services.delivery.simulated_channels import respond_to_fact
from services.runtime.process.background import run_background
from services.runtime.simulation.conductor_process import ConductorProcess


def open_conductor() -> ConductorProcess:
    """Return a conductor with settings from the environment."""
    return ConductorProcess.open(respond_to_fact, Proposals())


if __name__ == "__main__":
    run_background("conductor", {"conductor": open_conductor})
