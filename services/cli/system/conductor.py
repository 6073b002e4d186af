"""Run the conductor of simulated realms: `python -m services.cli.system.conductor`.

It includes delivery's simulated recipients and continuity's planner.
"""

from services.continuity.reassignment.proposals import Proposals
from services.delivery.simulated_channels import respond_to_fact
from services.runtime.simulation.conductor_process import run_conductor

if __name__ == "__main__":
    run_conductor(respond_to_fact, Proposals())
