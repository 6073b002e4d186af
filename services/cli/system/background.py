"""Run the services that nobody waits for, side by side: `python -m services.cli.system.background`.

`vigie up` runs them so, because each process of its own would hold 35 MB. In containers each has
its own. With `--demo` the demonstration runs beside them. See
`docs/adr/0073-run-four-services-in-one-process.md`.
"""

import os

from services.cli.system.conductor import open_conductor
from services.continuity.reassignment.planner_process import PlannerProcess
from services.runtime.process.background import ServiceMaker, run_background
from services.verify.auditor.process import AuditorProcess
from services.watch.process import WatchProcess


def list_makers() -> dict[str, ServiceMaker]:
    """Return the makers of all services, by their names."""
    makers: dict[str, ServiceMaker] = {
        "auditor": AuditorProcess.open,
        "conductor": open_conductor,
        "planner": PlannerProcess.open,
        "watch": WatchProcess.open,
    }
    if os.environ.get("VIGIE_DEMO_REALM"):
        # Others need neither the player of exercises nor the client of the command line
        from services.cli.system.demo import Demonstration

        makers["demo"] = Demonstration.open
    return makers


if __name__ == "__main__":
    run_background("background", list_makers())
