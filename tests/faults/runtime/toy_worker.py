"""A real worker process of the toy domain, with settings by VIGIE_*.

`python -m tests.faults.runtime.toy_worker toy|toyecho [logic]`
"""

from __future__ import annotations

import os
import sys

from schemas.topics import PUBLIC_FACTS
from services.runtime.process.settings import Settings
from services.runtime.worker.tuning import Tuning
from services.runtime.worker.worker import run_worker
from tests.faults.runtime.toy import EchoDecider, ToyDecider, register

if __name__ == "__main__":
    service, logic = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    tuning = Tuning(
        session_s=float(os.environ.get("TOY_SESSION_S", "10")),
        snapshot_every=int(os.environ.get("TOY_SNAPSHOT_EVERY", "2000")),
        snapshot_pause_s=float(os.environ.get("TOY_SNAPSHOT_PAUSE_S", "2")),
        group=os.environ.get("TOY_GROUP", ""),
    )
    suffix = os.environ.get("TOY_SUFFIX", "")
    register(suffix)
    own_public = os.environ.get("TOY_PUBLIC", "1") == "1"
    of_others = [
        topic
        for topic in PUBLIC_FACTS
        if topic.startswith("toypublic") and (topic != f"toypublic{suffix}" or not own_public)
    ]
    for topic in of_others:
        del PUBLIC_FACTS[topic]
    decider = EchoDecider(logic, suffix) if service == "toyecho" else ToyDecider(logic, suffix)
    run_worker(decider, Settings(), tuning)
