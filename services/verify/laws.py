"""Check conservation laws across logs, inputs and read model.

Each law has a name, each breach a sentence. A breach that a moving system explains (an unapplied
input, a fact on its way) is *pending*: the caller reads on and judges again until its patience ends
(`services.verify.reading`).

Reassignments count no agent and no desk twice: the check compares approved lines with staff and desks of the reference data, with arithmetic of its own. Only
the needed part of a line counts: agents that the newest proposal sends back may be proposed again
before their release.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.people.replies import HELP_TEMPLATES
from schemas.topics import SERVICES
from services.verify.chain import LogFold

TELEWORK: Final = "telework"
FINISHED_STATES: Final = frozenset({"released", "void", "refused"})
GYMNASIUM: Final = "gymnase"
GYMNASIUM_DESKS: Final = 20
"""Desks of a gymnasium, instead of its own number (docs/reference/reassignment-model.md, §2)."""

StaffCell = tuple[str, str, str]
"""Site, activity, métier."""
LAWS: dict[str, str] = {
    "chain": "every accepted record continues the hash chain of its partition",
    "order": "each input is applied once, in order, none skipped",
    "input": "each accepted record names the bytes of the input that lies at its offset",
    "applied": "every accepted input is applied",
    "report": "every accepted report has exactly one effect",
    "ids": "derived ids are unique",
    "forward": (
        "every routed fact reaches its destination exactly once, in order, and none comes from "
        "nowhere"
    ),
    "notification": "every planned notification is known to delivery and is in exactly one state",
    "reassignment": (
        "every order was approved by a named person under a rule, as it was approved, every "
        "approved line was ordered once, no agent or desk counts twice"
    ),
    "dead-letter": "every failed or unreadable input lies in the dead letters with its reason",
    "read-model": "the read model equals the fold of the logs",
}
"""Law → promise."""
FAILURE_FACTS = frozenset({"InputFailed", "InputRefused"})
LogFolds = dict[tuple[str, int], LogFold]


def find_overcommitments(
    reassignments: Mapping[str, Any], reference: Mapping[str, Any], situation: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (subject, sentence) for each cell and each host that is overcommitted.

    A cell is overcommitted if it gives more agents than it has, a host if it holds more than its
    free desks. `reference`: section → published content. `situation`: that of the newest proposal,
    for the agents missing at a host.
    """
    if not {"sites", "staffing"} <= reference.keys():
        return
    lines = [
        row
        for row in reassignments.values()
        if row["state"] not in FINISHED_STATES and row["needed"]
    ]
    staff: Counter[StaffCell] = Counter()
    for cell in reference["staffing"]["cells"]:
        staff[cell["site"], cell["activity"], cell["metier"]] += cell["staff"]
    agents_by_cell: Counter[StaffCell] = Counter()
    for row in lines:
        agents_by_cell[row["site"], row["activity"], row["metier"]] += row["needed"]
    for key in sorted(agents_by_cell):
        if agents_by_cell[key] > staff[key]:
            yield (
                "/".join(key),
                f"{agents_by_cell[key]} agents of {' '.join(key)} are reassigned and there are {staff[key]}",
            )
    free = _count_free_desks(reference, situation)
    agents_by_host: Counter[str] = Counter()
    desk = {rule["activity"]: rule["needs_desk"] for rule in reference["staffing"]["rules"]}
    for row in lines:
        served_activity, where = (
            row["need_activity"] or row["activity"],
            row["need_site"] or row["site"],
        )
        if row["place"] not in (TELEWORK, where) and desk.get(served_activity, False):
            agents_by_host[row["place"]] += row["needed"]
    for place in sorted(agents_by_host):
        if agents_by_host[place] > free[place]:
            yield (
                place,
                f"{agents_by_host[place]} agents are sent to {place}, which has {free[place]} free desks",
            )


def _count_free_desks(reference: Mapping[str, Any], situation: Mapping[str, Any]) -> Counter[str]:
    """Count the free desks of each site, never too few.

    Agents present at a site with absences are rounded down cell by cell.
    """
    pct = {site["site"]: site["staff_pct"] for site in situation.get("sites", ())}
    desk = {rule["activity"]: rule["needs_desk"] for rule in reference["staffing"]["rules"]}
    used: Counter[str] = Counter()
    for cell in reference["staffing"]["cells"]:
        if desk.get(cell["activity"], False):
            used[cell["site"]] += cell["staff"] * pct.get(cell["site"], 100) // 100
    free: Counter[str] = Counter()
    for site in reference["sites"]["sites"]:
        free[site["id"]] = max(
            0, (GYMNASIUM_DESKS if site["kind"] == GYMNASIUM else site["desks"]) - used[site["id"]]
        )
    return free


@dataclass
class Findings:
    """Breaches of one reading; pending ones may heal while the system moves."""

    broken: list[tuple[str, str]] = field(default_factory=list)
    """(law, sentence)."""
    pending: dict[tuple[str, str], str] = field(default_factory=dict)
    """(law, waiting item) → sentence.

    An item keeps its name while it has not moved.
    """

    def breach(self, law: str, sentence: str) -> None:
        self.broken.append((law, sentence))

    def wait(self, law: str, item: str, sentence: str) -> None:
        self.pending[law, item] = sentence


@dataclass(frozen=True, slots=True)
class InputEntry:
    """Input at one offset of a partition."""

    digest: str
    type: str
    id: str
    key: str


InputRecords = dict[tuple[str, int], dict[int, InputEntry]]


def check_inputs(
    logs: LogFolds, inputs: InputRecords, findings: Findings, urgent: InputRecords | None = None
) -> None:
    """Judge the laws `input` and `applied`.

    `urgent`: inputs in the urgent lanes.
    """
    for (service, partition), log in logs.items():
        input_records, seen_urgent = (
            inputs.get((service, partition), {}),
            (urgent or {}).get((service, partition), {}),
        )
        _compare_input(
            f"{service}.inputs/{partition}",
            input_records,
            log.applied_inputs,
            log.position,
            findings,
        )
        _compare_input(
            f"{service}.urgent/{partition}",
            seen_urgent,
            log.urgent_applied,
            log.urgent_position,
            findings,
        )


def _compare_input(
    topic: str,
    input_records: dict[int, InputEntry],
    applied_inputs: dict[int, tuple[str, str, tuple[str, ...]]],
    position: int,
    findings: Findings,
) -> None:
    for offset, (digest, _type, _names) in applied_inputs.items():
        there = input_records.get(offset)
        if there is None:
            findings.breach(
                "input", f"{topic} has no record at offset {offset}, which the log says was applied"
            )
        elif there.digest != digest:
            findings.breach(
                "input", f"{topic} offset {offset} holds other bytes than those applied"
            )
    for offset in sorted(o for o in input_records if o > position)[:5]:
        place = f"{topic} offset {offset}"
        findings.wait("applied", place, f"{place} ({input_records[offset].type}) is not applied")


def check_reports(logs: LogFolds, findings: Findings) -> None:
    """Judge the law `report`: each report has one effect, however often its record arrived."""
    for (service, _), log in logs.items():
        if service != "alerts":
            continue
        for report, outcomes in log.reports.items():
            effects = outcomes.count("applied")
            if effects > 1 or (
                effects == 0 and "InputDuplicate" in outcomes and not FAILURE_FACTS & set(outcomes)
            ):
                findings.breach(
                    "report", f"report {report} has {effects} effects: {', '.join(outcomes)}"
                )


def check_forwarding(logs: LogFolds, findings: Findings) -> None:
    """Judge the law `forward` for each route and partition.

    After a loss, only the newest history is compared.
    """
    for (service, partition), log in logs.items():
        for receiver in SERVICES:
            due_facts = [f for f in log.emitted_facts if receiver in f.receivers]
            target = logs[receiver, partition]
            effective_inputs = [
                (place, fact_id)
                for place, fact_id, effect in target.received_facts.get(service, [])
                if effect
            ]
            failed_ids = {
                fact_id
                for _, fact_id, effect in target.received_facts.get(service, [])
                if not effect
            }
            read_to = (log.history, log.seq)
            _compare_route(
                f"{service} → {receiver} partition {partition}",
                due_facts,
                effective_inputs,
                failed_ids,
                read_to,
                findings,
            )


def _compare_route(
    route: str,
    emitted_facts: list[Any],
    arrivals: list[tuple[Any, str]],
    failed_ids: set[str],
    read_to: tuple[int, int],
    findings: Findings,
) -> None:
    """Compare the emitted facts of a route with the arrived ones.

    `read_to`: (history, seq) of the source log.
    """
    ids = [fact_id for _, fact_id in arrivals]
    if len(ids) != len(set(ids)):
        twice = next(i for i in ids if ids.count(i) > 1)
        findings.breach("forward", f"{route}: fact {twice} had two effects")
    emitted_ids = {f.fact_id for f in emitted_facts}
    unknown = [] if read_to[0] else [(place, i) for place, i in arrivals if i not in emitted_ids]
    for place, fact_id in [u for u in unknown if u[0][:2] > read_to][:1]:
        sentence = f"{route}: fact {fact_id} of seq {place[1]} arrived, its log was read up to {read_to[1]}"
        findings.wait("forward", f"{route} {fact_id}", sentence)
    strangers = [i for place, i in unknown if place[:2] <= read_to]
    if strangers:
        findings.breach(
            "forward", f"{route}: fact {strangers[0]} comes from nowhere ({len(strangers)} such)"
        )
    arrived_ids = set(ids)
    order = [f.fact_id for f in emitted_facts if f.fact_id in arrived_ids]
    if order != [i for i in ids if i in emitted_ids]:
        findings.breach("forward", f"{route}: facts took effect out of order")
    missing = [
        f for f in emitted_facts if f.fact_id not in arrived_ids and f.fact_id not in failed_ids
    ]
    last = max((n for n, f in enumerate(emitted_facts) if f.fact_id in arrived_ids), default=-1)
    for n, f in enumerate(emitted_facts):
        if n < last and f.fact_id not in arrived_ids and f.fact_id not in failed_ids:
            findings.breach("forward", f"{route}: fact {f.fact_id} ({f.name}) was skipped")
            break
    if missing and emitted_facts.index(missing[0]) > last:
        sentence = f"{route}: {len(missing)} facts not arrived, first {missing[0].name} at seq {missing[0].place[1]}"
        findings.wait("forward", missing[0].fact_id, sentence)


OWN_TEMPLATES: Final = HELP_TEMPLATES | {"withdrawn", "cards_answered"}
"""Templates of messages that delivery plans itself, beside call-outs: ends of calls and answers."""


def check_notifications(logs: LogFolds, states: Iterable[str], findings: Findings) -> None:
    """Judge the law `notification`."""
    valid_states = set(states)
    planned_ids: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    for (service, _), log in logs.items():
        if service == "alerts":
            planned_ids |= log.planned_ids
        if service == "delivery":
            for (_realm, collection), by_id in log.rows.items():
                if collection == "notifications":
                    rows |= by_id
    for notification in planned_ids.keys() - rows.keys():
        findings.wait(
            "notification",
            notification,
            f"notification {notification} was planned and delivery does not know it",
        )
    own = {
        id
        for id, row in rows.items()
        if row.get("campaign") or row.get("template") in OWN_TEMPLATES
    }
    # The log of alerts is read before that of delivery, so a plan in between is read next time.
    for notification in rows.keys() - planned_ids.keys() - own:
        findings.wait(
            "notification",
            f"{notification} unplanned",
            f"notification {notification} is with delivery and nobody planned it",
        )
    for notification, row in rows.items():
        if row["state"] not in valid_states:
            findings.breach(
                "notification", f"notification {notification} is in state {row['state']!r}"
            )


def check_reassignments(logs: LogFolds, findings: Findings) -> None:
    """Judge the law `reassignment` for each realm."""
    for (service, _), log in logs.items():
        if service != "continuity":
            continue
        for realm in sorted({realm for realm, collection in log.rows if collection == "proposals"}):
            _compare_orders(
                f"realm {realm}",
                log.rows[realm, "proposals"],
                log.rows.get((realm, "reassignments"), {}),
                log.rows.get((realm, "reassignment_orders"), {}),
                findings,
            )
            _compare_lines(f"realm {realm}", log, realm, findings)


def _compare_orders(
    where: str,
    proposals: dict[str, Any],
    reassignments: dict[str, Any],
    orders: dict[str, Any],
    findings: Findings,
) -> None:
    decisions = [d for p in proposals.values() for d in p["decisions"] if d["verb"] == "approve"]
    decisions_by_line = {line: d for d in decisions for line in d["lines"]}
    for d in decisions:
        if not (d["by"] and d["role"] and d["rules"]):
            findings.breach(
                "reassignment", f"{where}: approval {d['id']} names no person, no role or no rule"
            )
    twice = Counter(line for p in proposals.values() for d in p["decisions"] for line in d["lines"])
    for line in sorted(line for line, times in twice.items() if times > 1)[:5]:
        findings.breach("reassignment", f"{where}: line {line} was decided {twice[line]} times")
    ordered_lines = [line for order in orders.values() for line in order["lines"]]
    dispatched_lines = {id for id, row in reassignments.items() if row["dispatched_at"] is not None}
    for line in sorted((dispatched_lines | set(ordered_lines)) - decisions_by_line.keys())[:5]:
        findings.breach(
            "reassignment", f"{where}: line {line} was dispatched and nobody approved it"
        )
    for line in sorted(line for line in set(ordered_lines) if ordered_lines.count(line) > 1)[:5]:
        findings.breach("reassignment", f"{where}: line {line} stands in two orders")
    for line in sorted(dispatched_lines & decisions_by_line.keys()):
        row, decision = reassignments[line], decisions_by_line[line]
        if (
            not row["approved_by"]
            or not row["rules"]
            or (row["approved_by"], row["rules"]) != (decision["by"], decision["rules"])
        ):
            findings.breach(
                "reassignment",
                f"{where}: the order of line {line} does not name the person and rule of its approval",
            )
    if missing := sorted(decisions_by_line.keys() - (dispatched_lines & set(ordered_lines))):
        findings.wait(
            "reassignment",
            missing[0],
            f"{where}: {len(missing)} approved lines were not dispatched, first {missing[0]}",
        )


def _compare_lines(where: str, log: LogFold, realm: str, findings: Findings) -> None:
    """Check that sent lines equal approved ones and that no agent or desk counts twice.

    Double counting may heal: the next proposal can take lines back.
    """
    reassignments = log.rows.get((realm, "reassignments"), {})
    proposed_lines = {
        line["id"]: line
        for part in log.rows.get((realm, "proposal_lines"), {}).values()
        for line in part["lines"]
    }
    for id in sorted(reassignments.keys() & proposed_lines.keys()):
        wrong = [
            name
            for name, value in proposed_lines[id].items()
            if reassignments[id].get(name) != value
        ]
        if wrong and reassignments[id]["dispatched_at"] is not None:
            findings.breach(
                "reassignment",
                f"{where}: the order of line {id} differs from what was approved in {', '.join(wrong)}",
            )
    computed_proposals = [
        p
        for p in log.rows[realm, "proposals"].values()
        if p["id"] in log.situations.get(realm, {}) and p["state"] != "failed"
    ]
    newest = max(computed_proposals, key=lambda p: p["number"], default=None)
    situation = log.situations[realm][newest["id"]] if newest is not None else {}
    for what, sentence in find_overcommitments(
        reassignments, log.reference.get(realm, {}), situation
    ):
        findings.wait("reassignment", f"{realm}/{what}", f"{where}: {sentence}")


def check_dead_letters(
    logs: LogFolds, letters: set[tuple[str, int, int]], findings: Findings
) -> None:
    """Judge the law `dead-letter`.

    `letters`: (topic, partition, offset) of every input that the dead letters hold.
    """
    for (service, partition), log in logs.items():
        in_lanes = [("inputs", *item) for item in log.applied_inputs.items()] + [
            ("urgent", *item) for item in log.urgent_applied.items()
        ]
        for lane, offset, (_, input_type, names) in in_lanes:
            if (
                FAILURE_FACTS & set(names)
                and (f"{service}.{lane}", partition, offset) not in letters
            ):
                place = f"{service}.{lane}/{partition} offset {offset}"
                findings.wait(
                    "dead-letter",
                    place,
                    f"{place} ({input_type or 'no type'}) failed and is not in the dead letters",
                )


def check_read_model(
    logs: LogFolds,
    model: dict[tuple[str, str], dict[str, Any]],
    aside: Collection[str],
    findings: Findings,
) -> None:
    """Judge the law `read-model`: it holds the same rows as the logs, each equal.

    Realms in `aside` are left out.
    """
    folded_rows: dict[tuple[str, str], dict[str, Any]] = {}
    for log in logs.values():
        for key, by_id in log.rows.items():
            folded_rows.setdefault(key, {}).update(by_id)
    for key in sorted(key for key in folded_rows.keys() | model.keys() if key[0] not in aside):
        want, have = folded_rows.get(key, {}), model.get(key, {})
        wrong = [i for i in want.keys() | have.keys() if want.get(i) != have.get(i)]
        for row in wrong:  # A row that the projector has changed since counts as another item.
            item = f"{key[0]}/{key[1]}/{row}={have.get(row)}"
            findings.wait(
                "read-model",
                item,
                f"realm {key[0]}, {key[1]}: {len(wrong)} of {len(want)} rows differ, e.g. {min(wrong)}",
            )
