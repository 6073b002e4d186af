"""The fault matrix: the effect of each fault on each part of the system, with its tests.

    @proves("worker", "kill", lost="0", doubled="0")  above a test: the cell that it proves
    record_property("recovered_s", seconds)           in it: a figure
    pytest --measure …                                writes tests/faults/measured.json
    python -m tests.faults.matrix                     writes docs/reference/fault-matrix.md

The cells are read from the source without an import; a contract test compares the page with them.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "fault-matrix.md"
MEASURED: Final = Path(__file__).with_name("measured.json")
Component = Literal[
    "intake",
    "broker",
    "worker",
    "sender",
    "provider",
    "store",
    "projector",
    "console",
    "conductor",
    "planner",
    "auditor",
    "supervisor",
]
Fault = Literal[
    "kill", "stop", "network", "slow_disk", "full_disk", "clock", "corrupted", "restarts"
]
COMPONENTS: Final[dict[Component, str]] = {
    "intake": "intake, the front door",
    "broker": "broker (Kafka) and its files",
    "worker": "worker of alerts, continuity, delivery",
    "sender": "sender of messages",
    "provider": "provider of a channel",
    "store": "store (Valkey)",
    "projector": "projector",
    "console": "console",
    "conductor": "conductor",
    "planner": "planner",
    "auditor": "auditor",
    "supervisor": "supervisor (`vigie up`)",
}
FAULTS: Final[dict[Fault, str]] = {
    "kill": "SIGKILL",
    "stop": "stopped, then goes on",
    "network": "network cut",
    "slow_disk": "slow disk",
    "full_disk": "full disk",
    "clock": "clock jumps",
    "corrupted": "damaged file",
    "restarts": "ends again and again",
}
EMPTY: Final = "–"
_STATELESS: Final = "it keeps no file: what it needs it reads from the logs and the store, whose rows tell the damage of those"
_OUTSIDE: Final = "a provider's machine is its own: Vigie meets an answer, a failure or silence, which are the other cells of its row"
ABSENT: Final[dict[tuple[Component, Fault], tuple[str, str]]] = {
    **{
        (part, "corrupted"): ("no file", _STATELESS)
        for part in ("projector", "conductor", "planner", "auditor")
    },
    **{
        ("provider", fault): ("not ours", _OUTSIDE)
        for fault in ("slow_disk", "full_disk", "clock", "corrupted")
    },
}
"""Cells that cannot happen: their text and reason. A test could not prove them."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One proof of a test."""

    component: str
    fault: str
    test: str
    """`path::name`, with `[case]` for one case of several."""
    lost: str
    doubled: str
    note: str


def proves(
    component: Component,
    fault: Fault,
    *,
    lost: str = "0",
    doubled: str = "0",
    note: str = "",
    case: str = "",
) -> pytest.MarkDecorator:
    """Declare a cell of the matrix.

    `case`: the id of a parameter, if only that one proves it. All must be literals.
    """
    return pytest.mark.proves(component, fault, lost=lost, doubled=doubled, note=note, case=case)


# ── read from the source ─────────────────────────────────────────────────────────────────────────────────────────────


def cells() -> list[Cell]:
    """Return all declared cells. Raises ValueError for an unknown component or fault."""
    return sorted(
        cell for path in sorted((ROOT / "tests").rglob("test_*.py")) for cell in _cells_of(path)
    )


def _cells_of(path: Path) -> Iterator[Cell]:
    text = path.read_text(encoding="utf-8")
    if "@proves(" not in text:
        return
    tree = ast.parse(text)
    whole_file = any(
        isinstance(n, ast.Assign)
        and "pytestmark" in ast.unparse(n.targets[0])
        and "soak" in ast.unparse(n.value)
        for n in tree.body
    )
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        soak = whole_file or any(ast.unparse(d) == "pytest.mark.soak" for d in node.decorator_list)
        for call in node.decorator_list:
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "proves"
            ):
                component, fault = (str(ast.literal_eval(a)) for a in call.args)
                keyword_values = {str(k.arg): str(ast.literal_eval(k.value)) for k in call.keywords}
                where = f"{path.relative_to(ROOT)}::{node.name}"
                if component not in COMPONENTS or fault not in FAULTS:
                    raise ValueError(
                        f"{where} proves {component} × {fault}, which the matrix does not have"
                    )
                case = f"[{keyword_values['case']}]" if keyword_values.get("case") else ""
                note = ", ".join(
                    filter(None, (keyword_values.get("note", ""), "`make soak`" if soak else ""))
                )
                yield Cell(
                    component,
                    fault,
                    where + case,
                    keyword_values.get("lost", "0"),
                    keyword_values.get("doubled", "0"),
                    note,
                )


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_HEAD: Final = """# Faults, and what they cost

Made by `python -m tests.faults.matrix` from what the tests declare (`@proves`); `pytest --measure` keeps what a run measured. Each cell: **lost · doubled · recovered in**. *Lost* counts
what had been accepted or granted; *doubled* an effect that people or readers could meet twice. What waits through a fault is late by the time of the recovery. “said” = the doubt is recorded, shown
and marked in the message (*possible duplicate*); “named” = the process stops by a named exit and nothing goes on until a person decides ([exits](../how-to/exits.md)).
Times are upper bounds: of the last measured run, with the test's own load and beside whatever else the machine did ([benchmarks](benchmarks.md) has figures of a quiet one); a cell without one was not measured. Tests marked `make soak` are too long for every run. “–” means that **nothing proves this cell**: it is not a promise.
"""


def page(measured: dict[str, dict[str, float]]) -> str:
    """Return the page, from the declared cells and the figures of the last measured run."""
    all_cells = cells()
    rows = [f"| | {' | '.join(FAULTS.values())} |", "|---" * (len(FAULTS) + 1) + "|"]
    for component, words in COMPONENTS.items():
        row = [
            _cell(
                component,
                fault,
                [c for c in all_cells if (c.component, c.fault) == (component, fault)],
                measured,
            )
            for fault in FAULTS
        ]
        rows.append(f"| **{words}** | {' | '.join(row)} |")
    return "\n".join([_HEAD, *rows, "", *_proofs(all_cells, measured), *_empty(all_cells)]) + "\n"


def _cell(
    component: Component, fault: Fault, proofs: list[Cell], measured: dict[str, dict[str, float]]
) -> str:
    if not proofs:
        return ABSENT[component, fault][0] if (component, fault) in ABSENT else EMPTY
    lost, doubled = (_worst([getattr(p, side) for p in proofs]) for side in ("lost", "doubled"))
    return f"{lost} · {doubled}{_slowest(proofs, measured)}"


def _worst(words: list[str]) -> str:
    return next((w for w in words if w != "0"), "0")


def _slowest(proofs: list[Cell], measured: dict[str, dict[str, float]]) -> str:
    recovery_times = [t for p in proofs if (t := _recovered(p.test, measured)) is not None]
    return f" · {max(recovery_times):.1f} s" if recovery_times else ""


def _recovered(test: str, measured: dict[str, dict[str, float]]) -> float | None:
    return measured.get(test, {}).get("recovered_s")


def _proofs(found: list[Cell], measured: dict[str, dict[str, float]]) -> Iterator[str]:
    yield from (
        "## What proves it",
        "",
        "| part | fault | lost | doubled | recovered in | test |",
        "|---|---|---|---|---|---|",
    )
    order = {(c, f): n for n, (c, f) in enumerate((c, f) for c in COMPONENTS for f in FAULTS)}
    for cell in sorted(found, key=lambda c: (order[c.component, c.fault], c.test)):  # type: ignore[index]
        recovery_time = _recovered(cell.test, measured)
        path, name = cell.test.split("::")
        words = name.removeprefix("test_").replace("_", " ")
        note = f" ({cell.note})" if cell.note else ""
        took = "" if recovery_time is None else f"{recovery_time:.1f} s"
        fault = FAULTS[cell.fault]  # type: ignore[index]
        yield f"| {cell.component} | {fault} | {cell.lost} | {cell.doubled} | {took} | [{words}](../../{path}){note} |"
    yield ""


def _empty(found: list[Cell]) -> Iterator[str]:
    filled = {(c.component, c.fault) for c in found}
    yield from ("## What cannot happen", "")
    for word, why in dict.fromkeys(ABSENT.values()):
        of = [
            f"{component} × {FAULTS[fault]}"
            for (component, fault), absence in ABSENT.items()
            if absence == (word, why)
        ]
        yield f"* *{word}* ({', '.join(of)}): {why}."
    missing = {
        words: [
            component
            for component in COMPONENTS
            if (component, fault) not in filled | ABSENT.keys()
        ]
        for fault, words in FAULTS.items()
    }
    yield from ("", "## What nothing proves yet", "")
    if any(missing.values()):
        yield from (
            f"* {words}: {', '.join(components)}"
            for words, components in missing.items()
            if components
        )
    else:
        yield "Nothing is left: each cell is proved, or cannot happen."
    total = len(COMPONENTS) * len(FAULTS)
    tests = len({c.test.partition("[")[0] for c in found})
    yield from (
        "",
        f"{len(filled)} of {total} cells are proved by {tests} tests, {len(ABSENT)} cannot happen.",
    )


# ── measured ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_measured() -> dict[str, dict[str, float]]:
    """Test → figures of the last run that measured it."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


class Recorder:
    """Pytest plug-in of `--measure`: keeps the properties `*_s` of tests that passed."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, float]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        figures = {n: round(float(v), 2) for n, v in report.user_properties if n.endswith("_s")}
        if report.when == "call" and report.passed and figures:
            self._found[report.nodeid] = figures

    def pytest_sessionfinish(self) -> None:
        if self._found:
            measured_figures = read_measured() | self._found
            MEASURED.write_text(
                json.dumps(dict(sorted(measured_figures.items())), indent=1) + "\n",
                encoding="utf-8",
            )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_measured()), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(cells())} proofs")


if __name__ == "__main__":
    main()
