"""The checker on public histories with known verdicts.

`python -m tests.linear.calibrate FOLDER`. FOLDER is a checkout of
https://github.com/anishathalye/porcupine: its `test_data` holds 102 runs that Jepsen recorded on
etcd and six of a key-value store, its `porcupine_test.go` the verdict of each. They are not ours
to ship; `test_checker.py` holds the checks of every run.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.linear.checker import NEVER, UNKNOWN, Operation, linearizable
from tests.linear.models import appended, register

_LINE: Final = re.compile(
    r"INFO +jepsen\.util - (\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.*)$"
)
_KV: Final = re.compile(
    r'\{:process (\d+), :type :(invoke|ok), :f :(get|put|append), :key "(.*)", :value (nil|"(.*)")\}'
)
_VERDICT: Final = re.compile(r"checkJepsen\(t, (\d+), (true|false)\)")


def etcd(file: Path) -> list[Operation]:
    """Read one run of Jepsen: reads, writes and compare-and-sets of one register.

    An operation with a timeout may or may not have happened.
    """
    open_, operations = {}, []
    for at, line in enumerate(file.read_text().splitlines()):
        if (match := _LINE.match(line)) is None:
            continue
        client, kind, what, value_text = match.groups()
        if kind == "invoke":
            value = (
                tuple(map(int, value_text.strip("[]").split()))
                if what == "cas"
                else None
                if value_text == "nil"
                else int(value_text)
            )
            open_[client] = (what, value, at)
            continue
        if kind == "info" and client not in open_:
            continue
        what, value, called = open_.pop(client)
        if kind == "info":
            operations.append(Operation((what, value), UNKNOWN, called))
        elif what == "cas":
            operations.append(Operation((what, value), kind == "ok", called, at))
        elif kind == "fail":
            operations.append(Operation((what, value), UNKNOWN, called))
        else:
            answered = None if what == "write" or value_text == "nil" else int(value_text)
            operations.append(Operation((what, value), answered, called, at))
    return operations + [
        Operation((what, value), UNKNOWN, called, NEVER) for what, value, called in open_.values()
    ]


def stored(file: Path) -> dict[str, list[Operation]]:
    """Read one run of the key-value store, by key: each part must be linearizable."""
    open_, operations_by_key = {}, defaultdict(list)
    for at, line in enumerate(file.read_text().splitlines()):
        if (match := _KV.match(line)) is None:
            continue
        client, kind, what, key, _, value = match.groups()
        if kind == "invoke":
            open_[client] = (what, value, at)
        else:
            what, argument, called = open_.pop(client)
            operations_by_key[key].append(
                Operation((what, argument), (value or "") if what == "get" else None, called, at)
            )
    return dict(operations_by_key)


def judged(folder: Path) -> Iterator[tuple[str, bool, bool]]:
    """Return (history, known verdict, ours)."""
    verdicts = dict(_VERDICT.findall((folder / "porcupine_test.go").read_text()))
    for number, verdict in verdicts.items():
        file = folder / "test_data" / "jepsen" / f"etcd_{int(number):03d}.log"
        if file.exists():
            yield file.name, verdict == "true", linearizable(etcd(file), None, register)
    for file in sorted((folder / "test_data" / "kv").glob("*.txt")):
        yield (
            file.name,
            file.stem.endswith("-ok"),
            all(linearizable(part, "", appended) for part in stored(file).values()),
        )


def main(folder: str) -> None:
    """Print every verdict that differs, and how many agree. Exit 1 if any differs."""
    began, agree, wrong = time.perf_counter(), 0, 0
    for name, expected_verdict, ours in judged(Path(folder)):
        agree, wrong = agree + (expected_verdict == ours), wrong + (expected_verdict != ours)
        if expected_verdict != ours:
            print(f"{name}: known {expected_verdict}, ours {ours}")
    print(f"{agree} verdicts agree, {wrong} differ, {time.perf_counter() - began:.1f} s")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main(sys.argv[1])
