"""Write `docs/reference/errors.md` from the catalogues of the program.

Run `python -m tools.errordoc`. Problems come from `services.runtime.http.problems`, refusals from
the code of the deciders and the sentences of the console, exits from
`services.runtime.process.exits`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Final, get_args

import services.console.app  # noqa: F401  the console adds its problems to the catalogue
from schemas.runtime import InputRefused
from services.console.incidents.titles import REFUSALS, write_refusal
from services.runtime.http.problems import CATALOGUE
from services.runtime.process.exits import EXITS
from services.runtime.process.settings import REPOSITORY

TARGET: Final = REPOSITORY / "docs" / "reference" / "errors.md"
_HEAD: Final = """# Every error, and what to do

Made from the program by `python -m tools.errordoc`; a test holds it to the code. Three kinds, which never mix:

* a **problem** answers an HTTP request that was not taken. It is a problem document (RFC 9457): `type` is `urn:vigie:problem:CODE`, `code` is stable, `title` and `detail` are French or
  English by `Accept-Language`, `errors` names each wrong field. Nothing was kept but, of a known sender, the refused message itself;
* a **refusal** answers a decision that was taken in, in order, and cannot be carried out: it stands in the log with its author. Over HTTP it is a problem too, `code` is the refusal's;
* an **exit** ends a process that doubts its view. Reports are accepted all the while ([exits](../how-to/exits.md)).

**May I send it again?** After 429 and 503 yes, the very same message with the same `Idempotency-Key` (after `Retry-After` seconds if it is given): it counts once.
After 401 with another login or token. After every other 4xx not before something is changed. After 500 once; then tell the operator the reference.
"""
_SERVICES: Final = ("runtime", "alerts", "continuity", "delivery")
_RUNTIME_REFUSALS: Final = frozenset({"load_under_way", "realm_closed", "realm_unknown"})
"""Refusals of the runtime, which names status and code apart."""


def build_page() -> str:
    """Return the page as Markdown."""
    return (
        "\n".join(
            [
                _HEAD,
                *_build_problem_table(),
                *_build_refusal_table(),
                *_build_input_table(),
                *_build_exit_table(),
            ]
        )
        + "\n"
    )


def _build_problem_table() -> Iterator[str]:
    yield from ("## Problems", "", "| status | code | title | what it says |", "|---|---|---|---|")
    for code, kind in sorted(CATALOGUE.items(), key=lambda item: (item[1].status, item[0])):
        yield f"| {kind.status} | `{code}` | {kind.title['en']} · {kind.title['fr']} | {kind.detail['en']} |"
    yield ""


def _build_refusal_table() -> Iterator[str]:
    yield from (
        "## Refusals",
        "",
        "`{…}` is filled with a value of the refusal. 412: read again, then decide again.",
        "",
        "| code | status | by | what it says · ce qu’il dit |",
        "|---|---|---|---|",
    )
    raised = collect_refusals()
    for code in sorted(REFUSALS):
        found = raised.get(code, set())
        if not found and code not in _RUNTIME_REFUSALS:
            raise ValueError(f"{code}: no decider names it beside its status, in one call")
        by = ", ".join(sorted({service for service, _status in found})) or "runtime"
        status = (
            ", ".join(str(s) for s in sorted({status for _service, status in found})) or "404, 409"
        )
        yield f"| `{code}` | {status} | {by} | {_sentence(code, 'en')} · {_sentence(code, 'fr')} |"
    yield ""


class _KeptPlaceholders(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _sentence(code: str, lang: str) -> str:
    return write_refusal(code, _KeptPlaceholders(), lang)


def collect_refusals() -> dict[str, set[tuple[str, int]]]:
    """Collect code → (service, status) of every refusal in the code of the deciders."""
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for service in _SERVICES:
        for file in sorted((REPOSITORY / "services" / service).rglob("*.py")):
            for code, status in _find_refusals(file):
                found[code].add((service, status))
    return found


def _find_refusals(file: Path) -> Iterator[tuple[str, int]]:
    """Yield (code, status) of calls with a refusal status followed by a code, by position or name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        values = [_constant_values(a) for a in node.args]
        named = {k.arg: _constant_values(k.value) for k in node.keywords}
        for statuses, codes in (
            *pairwise(values),
            (named.get("status", ()), named.get("code", ())),
        ):
            for status, code in product(statuses, codes):
                if (
                    isinstance(status, int)
                    and status in (403, 404, 409, 412)
                    and isinstance(code, str)
                ):
                    yield code, status


def _constant_values(node: ast.expr) -> tuple[object, ...]:
    """Return a constant, or both constants of `a if … else b`."""
    if isinstance(node, ast.IfExp):
        return *_constant_values(node.body), *_constant_values(node.orelse)
    return (node.value,) if isinstance(node, ast.Constant) else ()


_INPUT_REFUSAL_MEANINGS: Final = {
    "unknown_type": "no known kind of input",
    "invalid": "its content does not fit its kind",
    "wrong_realm": "its key names another realm than its content",
    "realm_unknown": "its realm has not been opened",
    "realm_closed": "its realm is over",
    "realm_not_simulated": "only a simulated realm can be stepped",
    "no_data": "it says nothing",
    "unsigned": "it bears no mark of this installation, or an old one",
}


def _build_input_table() -> Iterator[str]:
    yield from (
        "## Inputs that a decider could not take",
        "",
        (
            "Records on an input topic that came past the front door (a program that writes to "
            "Kafka itself). Each is a fact of the log and a dead letter: `vigie dlq`."
        ),
        "",
        "| code | |",
        "|---|---|",
    )
    for code in get_args(InputRefused.model_fields["code"].annotation):
        yield f"| `{code}` | {_INPUT_REFUSAL_MEANINGS[code]} |"
    yield ""


def _build_exit_table() -> Iterator[str]:
    yield from ("## Exits", "", "| exit | code | what happened | what to do |", "|---|---|---|---|")
    for name, kind in EXITS.items():
        yield f"| `{name}` | {kind.code} | {kind.means} | {kind.act or 'nothing: the restart repairs it'} |"


if __name__ == "__main__":
    TARGET.write_text(build_page(), encoding="utf-8")
