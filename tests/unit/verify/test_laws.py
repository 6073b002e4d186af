"""Each law of `vigie verify` detects its damage: two sound logs, then one fault at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.topics import list_destinations
from services.verify.chain import GENESIS, LogFold, hash_input, hash_record
from services.verify.laws import (
    LAWS,
    Findings,
    InputEntry,
    InputRecords,
    LogFolds,
    check_dead_letters,
    check_forwarding,
    check_inputs,
    check_notifications,
    check_read_model,
    check_reports,
)

REALM = "92"
COLLECTIONS = {"NotificationChanged": "notifications"}
Tx = dict[str, Any]


def fact(name: str, id: str, **data: Any) -> dict[str, Any]:
    return {"type": f"vigie.{name}.v1", "id": id, "data": data}


@dataclass
class World:
    """Records before chaining, with their surroundings."""

    records: dict[str, list[Tx]] = field(default_factory=lambda: {"alerts": [], "delivery": []})
    inputs: InputRecords = field(default_factory=dict)
    letters: set[tuple[str, int, int]] = field(default_factory=set)
    model: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    rewrite: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """(service, record number) → bytes that lie there instead"""

    def put(
        self,
        service: str,
        input_type: str,
        id: str,
        *facts: dict[str, Any],
        place: str | None = None,
    ) -> None:
        offset = len(self.records[service])
        digest = hash_input(REALM.encode(), id.encode(), b"body")
        self.inputs.setdefault((service, 0), {})[offset] = InputEntry(digest, input_type, id, REALM)
        src = {
            "partition": 0,
            "offset": offset,
            "digest": digest,
            "type": input_type,
            "id": id,
            "place": place,
        }
        self.records[service].append(
            {"logic": 1, "history": 0, "realm": REALM, "src": src, "facts": list(facts)}
        )

    def folded(self, findings: Findings) -> LogFolds:
        """Build the chain of the records and fold it."""
        logs: LogFolds = {
            (s, 0): LogFold(s, 0, findings.breach) for s in ("alerts", "continuity", "delivery")
        }
        for service, records in self.records.items():
            head = GENESIS
            for n, record in enumerate(records):
                raw = json.dumps({"seq": n + 1, "prev": head, **record}).encode()
                head = hash_record(raw)
                logs[service, 0].feed(
                    n, self.rewrite.get((service, n), raw), COLLECTIONS, list_destinations
                )
        return logs

    def found(self) -> set[str]:
        """Find the laws with a breach or with a waiting item."""
        findings = Findings()
        logs = self.folded(findings)
        check_inputs(logs, self.inputs, findings)
        check_reports(logs, findings)
        check_forwarding(logs, findings)
        check_notifications(logs, ("planned", "sent"), findings)
        check_dead_letters(logs, self.letters, findings)
        check_read_model(logs, self.model, self.aside, findings)
        return {law for law, _ in findings.broken} | {law for law, _ in findings.pending}


def sound() -> World:
    """Build a report, two notifications, a fact for the read model, and a failed input."""
    world = World()
    planned = [fact("NotificationPlanned", f"f{n}", notification=f"n{n}") for n in (1, 2)]
    quiet = fact("IncidentChanged", "f8", row={"id": "i"}, routed=False)
    world.put(
        "alerts", "vigie.ReportReceived.v1", "r1", fact("ReportChanged", "f0"), *planned, quiet
    )
    world.put("alerts", "vigie.ReportReceived.v1", "r1", fact("InputDuplicate", "f3"))
    world.put("alerts", "vigie.Tick.v1", "t1", fact("InputFailed", "f4"))
    for n in (1, 2):
        row = {"id": f"n{n}", "state": "sent"}
        world.put(
            "delivery",
            "vigie.NotificationPlanned.v1",
            f"f{n}",
            fact("NotificationChanged", f"d{n}", row=row),
            place=f"alerts/0/0/1/{n}",
        )
        world.model.setdefault((REALM, "notifications"), {})[f"n{n}"] = row
    world.letters.add(("alerts.inputs", 0, 2))
    return world


def _src(world: World, service: str, n: int, **changes: Any) -> None:
    world.records[service][n]["src"] |= changes


def _swap_arrivals(world: World) -> None:
    one, two = world.records["delivery"]
    one["src"]["id"], two["src"]["id"] = two["src"]["id"], one["src"]["id"]


def _row(world: World, **changes: Any) -> None:
    """Return the row, equal in log and store."""
    for row in (
        world.records["delivery"][0]["facts"][0]["data"]["row"],
        world.model[REALM, "notifications"]["n1"],
    ):
        row.update(changes)


DAMAGE: dict[str, tuple[str, Callable[[World], Any]]] = {
    "a record was altered: what follows it is not accepted": (
        "applied",
        lambda w: w.rewrite.update({("alerts", 1): b'{"seq": 2, "prev": "x", "logic": 1}'}),
    ),
    "an input was skipped": ("order", lambda w: _src(w, "alerts", 2, offset=3)),
    "an input was applied twice": ("order", lambda w: _src(w, "alerts", 1, offset=0)),
    "an input of another partition": ("order", lambda w: _src(w, "alerts", 1, partition=1)),
    "other bytes lie at the offset": ("input", lambda w: _src(w, "alerts", 1, digest="0" * 32)),
    "the input is not there": ("input", lambda w: w.inputs["alerts", 0].pop(1)),
    "an accepted input waits": (
        "applied",
        lambda w: w.inputs["alerts", 0].update({3: InputEntry("d", "vigie.Tick.v1", "t2", REALM)}),
    ),
    "a report had two effects": (
        "report",
        lambda w: w.records["alerts"][1]["facts"][0].update(type="vigie.ReportChanged.v1"),
    ),
    "a report had none": (
        "report",
        lambda w: w.records["alerts"][0]["facts"].insert(0, fact("InputDuplicate", "f9")),
    ),
    "an id was given twice": ("ids", lambda w: w.records["alerts"][1]["facts"][0].update(id="f0")),
    "a fact never arrived": ("forward", lambda w: w.records["delivery"].pop()),
    "the first of two never arrived": (
        "forward",
        lambda w: _src(w, "delivery", 0, type="vigie.Tick.v1", id="t9", place=None),
    ),
    "two facts arrived in the wrong order": ("forward", _swap_arrivals),
    "a fact had two effects": ("forward", lambda w: _src(w, "delivery", 1, id="f1")),
    "a fact came from nowhere": ("forward", lambda w: _src(w, "delivery", 1, id="f7")),
    "delivery does not know what was planned": (
        "notification",
        lambda w: w.records["delivery"][1]["facts"].clear(),
    ),
    "a message that nobody planned": ("notification", lambda w: _row(w, id="n7")),
    "a message in a state without a name": ("notification", lambda w: _row(w, state="lost")),
    "a failed input is not in the dead letters": ("dead-letter", lambda w: w.letters.clear()),
    "the store shows another row": (
        "read-model",
        lambda w: w.model[REALM, "notifications"].update(n1={"id": "n1", "state": "planned"}),
    ),
    "the store lacks a row": ("read-model", lambda w: w.model[REALM, "notifications"].pop("n1")),
    "the store shows a row that no log tells of": (
        "read-model",
        lambda w: w.model.update({(REALM, "sites"): {"s": {"id": "s"}}}),
    ),
}
"""Fault → law that must detect it."""


def test_a_sound_world_breaks_no_law() -> None:
    assert sound().found() == set()


def test_a_forwarded_fact_that_failed_is_not_missing_and_is_asked_for_in_the_dead_letters() -> None:
    world = sound()
    world.records["delivery"][0]["facts"] = [fact("InputFailed", "f9")]
    world.records["delivery"][1]["facts"] = [fact("InputFailed", "f10")]
    assert world.found() == {"dead-letter", "notification", "read-model"}


def test_a_fact_of_a_record_that_was_not_read_yet_waits() -> None:
    """The log of the receiver may be read a moment later than the log of the sender."""
    world = sound()
    _src(world, "delivery", 1, id="f7", place="alerts/0/0/99/0")
    findings = Findings()
    check_forwarding(world.folded(findings), findings)
    assert [law for law, _ in findings.broken] == []
    assert any("was read up to" in sentence for sentence in findings.pending.values())


def test_a_notification_waits_until_the_log_of_alerts_was_read_as_far() -> None:
    """Alerts may plan it after its log was read, and before that of delivery is."""
    world, findings = sound(), Findings()
    _row(world, id="n7")
    check_notifications(world.folded(findings), ("planned", "sent"), findings)
    assert findings.broken == []
    assert any("nobody planned it" in sentence for sentence in findings.pending.values())


def test_the_end_of_a_call_and_an_answer_to_a_text_need_no_plan_of_alerts() -> None:
    for template in ("withdrawn", "text_received"):
        world, findings = sound(), Findings()
        _row(world, id="n7", template=template)
        check_notifications(world.folded(findings), ("planned", "sent"), findings)
        assert not any("nobody planned it" in sentence for sentence in findings.pending.values())


def test_a_realm_that_the_store_has_let_go_has_no_rows_to_be_equal() -> None:
    world = sound()
    world.model.clear()
    assert world.found() == {"read-model"}
    world.aside = {REALM}
    assert world.found() == set()


@pytest.mark.parametrize("what", DAMAGE)
def test_each_damage_is_noticed_by_its_law(what: str) -> None:
    law, damage = DAMAGE[what]
    world = copy.deepcopy(sound())
    damage(world)
    assert law in world.found()


@pytest.mark.parametrize(
    ("declared", "applied_next"),
    [(fact("LossDeclared", "l", detail="disk"), 1), (fact("Rebased", "l", next_offset=40), 40)],
)
def test_the_log_continues_at_the_declared_position(
    declared: dict[str, Any], applied_next: int
) -> None:
    broken = Findings()
    log = LogFold("alerts", 0, broken.breach)
    src = {"partition": 0, "digest": "d", "type": "vigie.Tick.v1", "id": "t", "place": None}
    head = GENESIS
    for seq, (offset, facts) in enumerate([(0, []), (-1, [declared]), (applied_next, [])], 1):
        raw = json.dumps(
            {
                "seq": seq,
                "prev": head,
                "logic": 1,
                "history": int(seq > 1),
                "realm": REALM,
                "src": {**src, "offset": offset},
                "facts": facts,
            }
        ).encode()
        head = hash_record(raw)
        log.feed(seq, raw, {}, list_destinations)
    assert (log.accepted_count, log.history, log.position, broken.broken) == (
        3,
        1,
        applied_next,
        [],
    )


def test_every_law_but_the_chain_has_its_damage() -> None:
    """A record that breaks the chain is not accepted, so other laws miss its content.

    The damage of `reassignment` needs a log of continuity: test_reassignments.py.
    """
    assert {law for law, _ in DAMAGE.values()} == LAWS.keys() - {"chain", "reassignment"}
