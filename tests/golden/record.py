"""Record the logs of a version, once, at its release: `python -m tests.golden.record VERSION`.

Recorded files are never changed afterwards.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from schemas.topics import SERVICES
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.state_hash import compute_state_hash, fold_records

FOLDER = Path(__file__).parent
REALM = "92~ex-golden"
UNTIL_MS = 25 * 60_000
"""End of S04 here: levels, escalations with answers, plans, clocks, messages."""
ANSWERS: tuple[dict[str, Any], ...] = (
    {"role": "directeur_pole", "answer": "ack", "after_s": 120},
    {"role": "elu_astreinte", "answer": "decline", "after_s": 60},
)


def main(version: str) -> None:
    """Write `<version>/<service>.jsonl.gz` and `<version>/expected.json`."""
    target = FOLDER / version
    target.mkdir()
    player = MemoryPlayer(scenario("S04"), REALM, responders=ANSWERS)
    player.play(player.played.start + UNTIL_MS)
    expected = {}
    for name in SERVICES:
        service = player.system.services[name]
        raws = [stored.raw for stored in service.log.of(REALM)]
        with (
            (target / f"{name}.jsonl.gz").open("wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed,
        ):
            packed.writelines(raw + b"\n" for raw in raws)
        view = fold_records(service.machine.decider, enumerate(raws))
        expected[name] = {
            "seq": view.position.seq,
            "head": view.position.hash,
            "fold": compute_state_hash(view),
        }
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
