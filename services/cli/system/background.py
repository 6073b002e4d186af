"""Run the services that nobody waits for, side by side: `python -m services.cli.system.background`.

`vigie up` runs them so, because each process of its own would hold 35 MB. In containers each has
its own. See `docs/adr/0073-run-four-services-in-one-process.md`.
"""

from services.cli.system.conductor import open_conductor
from services.continuity.reassignment.planner_process import PlannerProcess
from services.runtime.process.background import run_background
from services.verify.auditor.process import AuditorProcess
from services.watch.process import WatchProcess

if __name__ == "__main__":
    run_background(
        "background",
        {
            "auditor": AuditorProcess.open,
            "conductor": open_conductor,
            "planner": PlannerProcess.open,
            "watch": WatchProcess.open,
        },
    )
