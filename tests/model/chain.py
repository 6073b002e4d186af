"""Model of the append protocol: many workers that all believe to own one log partition.

The world holds workers, their zombies (sends of the dead that still arrive), a reader, an
operator, and a broker that may lose the tail of the log or of the input, or be replaced by a
half-mirrored one. Invariants: `arrive_in_log` checks every accepted record, `finish` checks that
all accepted inputs were applied, or that a named exit gives the reason. Time is moved by inputs
alone (ticks are inputs), so no guard concerns a clock, and workers' clocks may be wrong (`skew`).
"""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final, NamedTuple

from tests.model.ladders import RUNGS, Fact, Input, State, decide, evolve, fire
from tests.model.worlds import Action, Broken, Stopped, digest, remaining, spent

GUARDS: Final = {
    "seq": "a record is accepted only with the next seq",
    "prev": "a record is accepted only if it names the hash of the last accepted one",
    "fence": "a record of older logic than the last accepted one is ignored",
    "stop": "a program that meets newer logic stops",
    "head": "a manifest is used only if the log still holds its head record",
    "anchor": "a manifest that fits no log proves a loss: no worker takes the partition",
    "ack": "an append must come to the expected offset",
    "after-ack": "a snapshot is sent after the ack of its record",
    "recheck": "… and after the record before the take was read again",
    "run": "a record carries its writer's run id: the same decision by two writers is two records",
    "resume": "a reader that resumes checks the record before its position",
    "digest": "a worker that takes checks that the input at `applied` is the one that was applied",
    "reset": "a consumer that was reset stops the worker",
    "audit": "an auditor compares the log's input digests, and each reader's position, with the topics",
    "watch": "a running worker checks every second that its history is still in the log",
    "dedup": "an id is applied once",
    "apart": "a deadline that raises stops that deadline, not the input",
    "history": "a declared loss raises `history`: older manifests prove nothing any more",
    "unseen": "a failed input leaves its id unseen, so that a replay works",
}
PAIRS: Final = (
    ("fence", "stop"),
    ("digest", "audit"),
    ("reset", "audit"),
    ("resume", "audit"),
    ("anchor", "audit"),
    ("seq", "prev"),
)
"""Guards that cover for each other: one alone may be missing."""
CASES: Final[dict[str, dict[str, int]]] = {
    "plain": {},
    "upgrade": {"upgrade": 1},
    "skew": {"skew": 1},
    "cut_log": {"upgrade": 1, "cut_log": 1},
    "cut_input": {"cut_input": 1, "writers": 2},
    "cut_both": {"cut_log": 1, "cut_input": 1, "writers": 2},
    "fail_over": {"upgrade": 1, "fail_over": 1, "writers": 2},
}
BUDGET: Final = {"crash": 2, "writers": 3, "horizon": 12}
SNAPSHOT_EVERY: Final = 3
IN_FLIGHT: Final = 3
LOSS, REBASED = "loss", "rebased"
NAMED_INPUT_EXITS: Final = frozenset({"input.rewritten", "input.reset"})


class Tx(NamedTuple):
    """One log record."""

    seq: int
    prev: str
    logic: int
    source: int | str | tuple[str, int]
    """Input offset, one of the urgent lane with its name, or `loss`, `rebased`."""
    input: str
    """Digest of the input."""
    t: int
    facts: tuple[Fact, ...]
    run: int
    decided_at: int
    """The broker's clock when it was decided; not part of the record."""

    @property
    def hash(self) -> str:
        return digest(*self[:-1])


class View(NamedTuple):
    """Folded state of one reader; also a snapshot's manifest, and the kept position of a reader."""

    seq: int = 0
    head: str = ""
    """Hash of the last accepted record."""
    head_offset: int = -1
    logic: int = 1
    applied: int = -1
    mark: str = ""
    """Digest of the input at `applied`."""
    history: int = 0
    state: State = State()
    next: int = 0
    tail: str = ""
    """Hash of the record at `next - 1`, accepted or not."""
    urgent: int = -1
    """Same as `applied`, for the urgent lane (tests.model.lanes)."""
    urgent_mark: str = ""


class Append(NamedTuple):
    """A record that a worker sends, then waits for."""

    tx: Tx
    expected: int
    snapshot: View | None


class Ack(NamedTuple):
    offset: int
    expected: int
    snapshot: View | None


class Worker(NamedTuple):
    code: int
    view: View | None = None
    """State of the worker; `None` = stopped."""
    queue: tuple[Append, ...] = ()
    acks: tuple[Ack, ...] = ()
    last: tuple[int, str] | None = None
    """Offset and hash of its newest landed record.

    The broker refuses an idempotent producer after the loss of its last record.
    """
    anchor: tuple[int, str] = (-1, "")
    """Record before its take."""
    run: int = 0
    skew: int = 0


def script(seed: int) -> list[tuple[str, str, int]]:
    """Return (id, kind, incident) of the producers' messages.

    Reports, some poisoned or cursed, some answered, some sent twice.
    """
    rnd, inputs = random.Random(seed * 7 + 1), []
    for i in range(1, rnd.randint(2, 3) + 1):
        inputs.append((f"r{i}", rnd.choices(("report", "poison", "cursed"), (6, 1.5, 1))[0], i))
        inputs += [(f"a{i}", "ack", i)] * (rnd.random() < 0.6)
        inputs += [rnd.choice(inputs)] * (rnd.random() < 0.4)
    return inputs


class Chain:
    """World of the append protocol.

    `budget`: how often each misfortune may happen, the number of workers, and the reach of the
    clock.
    """

    RANDOM: ClassVar[frozenset[str]] = frozenset({"cut_log", "cut_input", "fail_over"})

    def __init__(
        self, inputs: list[tuple[str, str, int]], without: tuple[str, ...] = (), **budget: int
    ) -> None:
        self.guards = frozenset(GUARDS) - set(without)
        self.script = tuple(inputs)
        self.budget = tuple(budget.items())
        self.clock = 0
        self.ticked = -1
        self.inputs: tuple[Input, ...] = ()
        self.log: tuple[Tx, ...] = ()
        self.slots: tuple[View | None, View | None] = (None, None)
        self.flying: tuple[View, ...] = ()
        """Manifests on their way to the snapshot topic."""
        self.orphans: tuple[tuple[Tx, ...], ...] = ()
        """Sends of stopped workers that may still arrive."""
        skew = budget.get("skew", 0)
        self.workers = tuple(
            Worker(1, skew=(0, skew, -skew)[i % 3]) for i in range(budget["writers"])
        )
        self.reader: tuple[View, frozenset[tuple[Fact, int | str]]] = (View(), frozenset())
        self.exits: frozenset[str] = frozenset()
        self.born = self.runs = 0
        self.made: tuple[Input, ...] = ()
        """Every input record there ever was."""
        self.cut = self.rewritten = False
        # the truth: the fold of the log by a reader that never sleeps
        self.truth = View()
        self.chain: tuple[tuple[str, State], ...] = ()
        self.accepted: tuple[Tx, ...] = ()

    def actions(self) -> list[Action]:
        """List the next possible actions, see World."""
        todo: list[Action] = [(3, "produce")] * bool(self.script)
        if self.clock < remaining(self.budget, "horizon"):
            todo.append((1, "tick"))
        for i, worker in enumerate(self.workers):
            todo += self.actions_of(i, worker)
        todo += [(0.4, "zombie", j) for j in range(len(self.orphans))] + [
            (1, "store_manifest", j) for j in range(len(self.flying))
        ]
        if self.reader[0].next < len(self.log):
            todo.append((0.5, "read"))
        todo.append((0.2, "resume"))
        return todo + [
            (0.15, cut)
            for cut in ("cut_log", "cut_input", "fail_over")
            if remaining(self.budget, cut)
        ]

    def actions_of(self, i: int, worker: Worker) -> list[Action]:
        todo: list[Action] = []
        if remaining(self.budget, "upgrade") and worker.code == 1:
            todo.append((0.2, "upgrade", i))
        if worker.view is None:
            return [*todo, (1, "take", i)]
        if len(worker.queue) + len(worker.acks) < IN_FLIGHT and worker.view.applied + 1 != len(
            self.inputs
        ):
            todo.append((4, "apply", i))
        if self.ticked < self.clock and self.something_due(worker.view, worker.skew):
            todo.append((1, "send_tick"))
        if self.cut and not worker.queue and not worker.acks:
            todo.append((0.3, "watch", i))
        if worker.queue:
            todo.append((3, "land", i))
        if worker.acks:
            todo.append((3, "acknowledge", i))
        if remaining(self.budget, "crash"):
            todo.append((0.2, "crash", i))
        return todo

    # ── producers, time, the topics ────────────────────────────────────────────────────────────────────────────────

    def produce(self) -> None:
        (id, kind, incident), self.script = self.script[0], self.script[1:]
        self.arrive(id, kind, incident)

    def arrive(self, id: str, kind: str, incident: int) -> None:
        self.born += 1
        record = Input(id, kind, incident, self.clock, self.born)
        self.inputs += (record,)
        self.made += (record,)

    def tick(self) -> None:
        self.clock += 1

    def send_tick(self) -> None:
        """Append a tick to the owner's own input: a deadline is due without an input."""
        self.ticked = self.clock
        self.arrive(f"tick{self.born}", "tick", 0)

    def something_due(self, view: View, skew: int = 0) -> bool:
        return bool(fire(view.state, self.clock + skew, 2, apart=True))

    def holds(self, offset: int, hash: str) -> bool:
        """Return True if the log still holds this record."""
        return offset < 0 or (offset < len(self.log) and self.log[offset].hash == hash)

    # ── rule 3, every reader's ─────────────────────────────────────────────────────────────────────────────────────

    def accepts(self, view: View, tx: Tx) -> bool:
        return (
            (tx.seq == view.seq + 1 or "seq" not in self.guards)
            and (tx.prev == view.head or "prev" not in self.guards)
            and (tx.logic >= view.logic or "fence" not in self.guards)
        )

    def advance(self, view: View, offset: int, tx: Tx, code: int) -> View:
        """Return the view after one record of the log. Raises Stopped."""
        if not self.accepts(view, tx):
            return view._replace(next=offset + 1, tail=tx.hash)
        if tx.logic > code and "stop" in self.guards:
            raise Stopped("logic.newer")
        view = view._replace(
            seq=tx.seq,
            head=tx.hash,
            head_offset=offset,
            logic=tx.logic,
            next=offset + 1,
            tail=tx.hash,
            state=evolve(view.state, tx.t, tx.facts, code),
        )
        return self.moved(view, tx)

    def moved(self, view: View, tx: Tx) -> View:
        """Return the view with the input position of the record."""
        if isinstance(tx.source, int):
            return view._replace(applied=tx.source, mark=tx.input)
        if tx.source == REBASED:
            return view._replace(applied=tx.facts[0][1] - 1, mark="", history=view.history + 1)
        return view._replace(history=view.history + 1)

    # ── a worker, in the order of the log protocol ────────────────────

    def put(self, i: int, **change: Any) -> None:
        """Replace worker `i`."""
        self.workers = (
            *self.workers[:i],
            self.workers[i]._replace(**change),
            *self.workers[i + 1 :],
        )

    def stop(self, i: int, name: str) -> None:
        """End a worker; its sends may still arrive."""
        self.exits |= {name}
        if queue := self.workers[i].queue:
            self.orphans += (tuple(append.tx for append in queue),)
        self.put(i, view=None, queue=(), acks=(), last=None)

    def take(self, i: int) -> None:
        """Take the partition by rules 2 and 4: snapshot, fold, check the input."""
        try:
            view = self.folded(self.workers[i].code)
            if "digest" in self.guards and not self.still_applied(view):
                raise Stopped("input.rewritten")
        except Stopped as why:
            return self.stop(i, why.name)
        self.runs += "run" in self.guards
        self.put(i, view=view, run=self.runs, anchor=(view.next - 1, view.tail))
        truth = self.truth
        if (
            "log.truncated" not in self.exits
            and not self.cut
            and (view.seq, view.head, view.state) != (truth.seq, truth.head, truth.state)
        ):
            raise Broken("a worker took another state than the fold of the accepted records")
        if self.cut and (view.head, view.state) != (truth.head, truth.state):
            raise Broken("after a truncation a worker took a history that others refuse")
        return None

    def still_applied(self, view: View) -> bool:
        """Return True if the input at `applied` is the applied one."""
        if view.applied < 0 or not view.mark:
            return True
        return view.applied < len(self.inputs) and digest(self.inputs[view.applied]) == view.mark

    def folded(self, code: int) -> View:
        """Fold the log after the newest manifest with a head in the log. Raises Stopped."""
        proven, view = 0, View()
        for manifest in sorted((m for m in self.slots if m), key=lambda m: (-m.history, -m.seq)):
            if "head" not in self.guards or self.holds(manifest.head_offset, manifest.head):
                if manifest.logic > code and "stop" in self.guards:
                    raise Stopped("logic.newer")
                view = manifest
                break
            proven = max(proven, manifest.history + 1 if "history" in self.guards else 99)
        for offset in range(view.next, len(self.log)):
            view = self.advance(view, offset, self.log[offset], code)
        if proven > view.history and "anchor" in self.guards:
            raise Stopped("log.truncated")
        return view

    def apply(self, i: int) -> None:
        """Apply rule 5: decide the next input, send its record, evolve at once."""
        worker = self.workers[i]
        assert worker.view is not None
        offset = worker.view.applied + 1
        if offset > len(self.inputs):  # the input ends before our position
            if "reset" in self.guards:
                self.stop(i, "input.reset")
            return None
        return self.send(i, self.inputs[offset], offset)

    def send(self, i: int, given: Input, source: int | tuple[str, int]) -> None:
        """Decide an input, send its record, evolve at once."""
        worker = self.workers[i]
        assert worker.view is not None
        view = worker.view
        t = max(view.state.now, given.t)
        facts = decide(view.state, given, t, worker.code, self.guards)
        tx = Tx(
            view.seq + 1,
            view.head,
            worker.code,
            source,
            digest(given),
            t,
            facts,
            worker.run,
            self.clock,
        )
        try:
            state = evolve(view.state, t, facts, worker.code)
        except Stopped as why:
            return self.stop(i, why.name)
        after = self.moved(
            view._replace(
                seq=tx.seq,
                head=tx.hash,
                head_offset=view.next,
                logic=worker.code,
                state=state,
                next=view.next + 1,
                tail=tx.hash,
            ),
            tx,
        )
        snapshot = after if tx.seq % SNAPSHOT_EVERY == 0 else None
        if snapshot and "after-ack" not in self.guards:
            self.flying += (snapshot,)
            snapshot = None
        self.put(i, view=after, queue=(*worker.queue, Append(tx, view.next, snapshot)))
        return None

    def land(self, i: int) -> None:
        """Deliver the oldest send, unless the broker lost this producer's last one."""
        worker = self.workers[i]
        append, *rest = worker.queue
        if worker.last and not self.holds(*worker.last):
            return self.stop(i, "append.failed")
        ack = Ack(len(self.log), append.expected, append.snapshot)
        self.put(
            i, queue=tuple(rest), acks=(*worker.acks, ack), last=(len(self.log), append.tx.hash)
        )
        self.arrive_in_log(append.tx)
        return None

    def acknowledge(self, i: int) -> None:
        """Acknowledge by rules 6 to 8."""
        ack, *rest = self.workers[i].acks
        self.put(i, acks=tuple(rest))
        if ack.offset != ack.expected and "ack" in self.guards:
            return self.stop(i, "append.conflict")
        if ack.snapshot and "recheck" in self.guards and not self.holds(*self.workers[i].anchor):
            return self.stop(i, "log.truncated")
        if ack.snapshot:
            self.flying += (ack.snapshot._replace(head_offset=ack.offset),)
        return None

    def watch(self, i: int) -> None:
        """Check, as every second, that the own history is still in the log."""
        view = self.workers[i].view
        assert view is not None
        if "watch" in self.guards and not self.holds(view.next - 1, view.tail):
            self.stop(i, "log.truncated")

    def crash(self, i: int) -> None:
        self.budget = spent(self.budget, "crash")
        self.stop(i, "crash")

    def upgrade(self, i: int) -> None:
        self.stop(i, "stopped")
        self.put(i, code=2)

    def zombie(self, j: int) -> None:
        """Deliver a send of a dead worker."""
        tx, *rest = self.orphans[j]
        self.orphans = tuple(
            o for o in (*self.orphans[:j], tuple(rest), *self.orphans[j + 1 :]) if o
        )
        self.arrive_in_log(tx)

    def store_manifest(self, j: int) -> None:
        """Store a manifest in its slot; slots alternate."""
        manifest, self.flying = self.flying[j], self.flying[:j] + self.flying[j + 1 :]
        even = manifest.seq // SNAPSHOT_EVERY % 2 == 0
        self.slots = (manifest, self.slots[1]) if even else (self.slots[0], manifest)

    # ── a broker that loses, an operator that declares ─────────────────────────────────────────────────────────────

    def cut_log(self, rnd: random.Random | None = None) -> None:
        """Cut the tail of the log."""
        self.budget, self.cut = spent(self.budget, "cut_log"), True
        self.log = self.log[: rnd.randint(0, len(self.log)) if rnd else len(self.log) // 2]
        self.refold()

    def cut_input(self, rnd: random.Random | None = None) -> None:
        """Cut the tail of the input; new records will take its offsets."""
        self.budget, self.rewritten = spent(self.budget, "cut_input"), True
        self.inputs = self.inputs[
            : rnd.randint(0, len(self.inputs)) if rnd else len(self.inputs) // 2
        ]

    def fail_over(self, rnd: random.Random | None = None) -> None:
        """Move to another cluster with log and input mirrored to different points.

        Offsets move, and workers of the old cluster cannot write here.
        """
        self.budget, self.cut = spent(self.budget, "fail_over"), True
        for i in range(len(self.workers)):
            self.stop(i, "stopped")
        self.orphans, self.flying = (), ()
        log_length = rnd.randint(0, len(self.log)) if rnd else len(self.log) // 2
        self.log = self.log[:log_length]
        last = rnd.randint(0, len(self.inputs)) if rnd else 0
        self.inputs = self.inputs[rnd.randint(0, last) if rnd else 0 :][: last or None]
        self.refold()
        self.declare(REBASED)

    def declare(self, what: str) -> None:
        """Write the operator's chained declaration, with `history` one higher."""
        facts: tuple[Fact, ...] = ((REBASED, 0),) if what == REBASED else ((LOSS,),)
        self.exits |= {what}
        truth = self.truth
        self.arrive_in_log(
            Tx(
                truth.seq + 1,
                truth.head,
                max(truth.logic, 1),
                what,
                "",
                truth.state.now,
                facts,
                0,
                self.clock,
            )
        )

    def refold(self) -> None:
        log, self.log, self.truth, self.chain, self.accepted = self.log, (), View(), (), ()
        for tx in log:
            self.arrive_in_log(tx, check=False)

    # ── a reader ───────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        view, facts = self.reader
        tx = self.log[view.next]
        try:
            after = self.advance(view, view.next, tx, 2)
        except Stopped as why:
            self.exits |= {why.name}
            return
        if after.seq != view.seq:
            facts |= {(f, tx.source) for f in tx.facts if f[0] in ("fired", "opened", "acked")}
        self.reader = (after, facts)
        if not self.cut and after.seq and not self.is_true(after):
            raise Broken("a reader's state differs from the fold")

    def is_true(self, view: View) -> bool:
        return view.seq <= len(self.chain) and self.chain[view.seq - 1] == (view.head, view.state)

    def resume(self) -> None:
        view, _ = self.reader
        if "resume" in self.guards and not self.holds(view.next - 1, view.tail):
            if self.truth.history <= view.history:
                self.exits |= {"log.truncated"}
            else:
                self.reader = (View(), frozenset())

    # ── what must hold for every accepted record ───────────────────────────────────────────────────────────────────

    def arrive_in_log(self, tx: Tx, *, check: bool = True) -> None:
        before, offset = self.truth, len(self.log)
        self.log += (tx,)
        self.truth = self.advance(before, offset, tx, 2)
        if self.truth.head_offset != offset:
            return
        self.chain += ((self.truth.head, self.truth.state),)
        self.accepted += (tx,)
        if check and not isinstance(tx.source, str):
            self.check_record(before, tx)

    def check_record(self, before: View, tx: Tx) -> None:
        if tx.logic < before.logic:
            raise Broken("a record of older logic was accepted")
        if not self.follows(before, tx):
            raise Broken("an input was skipped or applied twice")
        input_record = next(r for r in self.made if digest(r) == tx.input)
        if input_record.kind != "poison" and ("failed", input_record.id) in tx.facts:
            raise Broken("a good input was recorded as failed")
        if tx.facts != decide(before.state, input_record, tx.t, tx.logic, self.guards):
            raise Broken("a record was not decided from its history")
        done = [fact for accepted in self.accepted for fact in accepted.facts]
        for kind, incident, *args in tx.facts:
            if kind == "opened" and sum(f[:2] == (kind, incident) for f in done) > 1:
                raise Broken("a duplicate id had a second effect")
            if kind == "fired":
                self.check_rung(before, tx, incident, args[0], done)

    def follows(self, before: View, tx: Tx) -> bool:
        """Return True if the record applies the due input."""
        return tx.source == before.applied + 1

    def given(self) -> tuple[Input, ...]:
        """List every input on the topics."""
        return self.inputs

    def check_rung(self, before: View, tx: Tx, incident: int, rung: int, done: list[Fact]) -> None:
        due = (
            next(ladder.opened_at for ladder in before.state.ladders if ladder.incident == incident)
            + RUNGS[rung]
        )
        if done.count(("fired", incident, rung)) > 1:
            raise Broken("a rung fired twice")
        if min(tx.t, tx.decided_at) < due:
            raise Broken("a rung fired before its time")
        answers = (
            r for r in self.given() if r.kind == "ack" and r.incident == incident and r.t < due
        )
        if not self.rewritten and any(r.id not in before.state.seen for r in answers):
            raise Broken("a rung fired over an earlier answer")

    # ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Deliver late sends, keep one newest worker, answer named exits; all must be applied."""
        while self.orphans:
            self.zombie(0)
        while self.flying:
            self.store_manifest(0)
        self.resume()
        self.leave_one_worker()
        born = self.born
        if (
            self.workers[0].code > 1 and not self.rewritten
        ):  # the fix is installed: what failed is sent again
            for record in {r.id: r for r in self.given() if r.kind == "poison"}.values():
                self.arrive(record.id, record.kind, record.incident)
        for turn in range(60):
            self.clock += turn % 3 == 0
            self.work_on()
        self.check_end(born)

    def leave_one_worker(self) -> None:
        code, self.budget = max(*(w.code for w in self.workers), self.truth.logic), ()
        for i in range(1, len(self.workers)):
            self.put(i, view=None, queue=(), acks=())
        self.put(0, code=code, skew=0)
        view = self.workers[0].view
        if view and view.logic < code:
            self.stop(0, "stopped")

    def work_on(self) -> None:
        """Run one turn of the remaining worker; the operator answers a named exit."""
        if self.workers[0].view:
            self.watch(0)
        if self.workers[0].view is None:
            before, self.exits = self.exits, self.exits - {"log.truncated", *NAMED_INPUT_EXITS}
            self.take(0)
            fresh, self.exits = (
                self.exits - (before - {"log.truncated", "input.rewritten"}),
                self.exits | before,
            )
            if "log.truncated" in fresh:
                self.declare(LOSS)
            elif "input.rewritten" in fresh:
                self.declare(REBASED)
            return
        for _ in range(IN_FLIGHT):
            self.apply_one(0)
        view = self.workers[0].view
        if view and self.something_due(view):
            self.send_tick()
        while self.workers[0].queue:
            self.land(0)
        while self.workers[0].acks:
            self.acknowledge(0)
        while self.orphans:
            self.zombie(0)

    def apply_one(self, i: int) -> None:
        view = self.workers[i].view
        if view and view.applied + 1 != len(self.inputs):
            self.apply(i)

    def check_end(self, born: int) -> None:
        self.audit_input()
        input_exits = self.exits & NAMED_INPUT_EXITS
        input_ids = self.truth.state.seen
        missing = [
            r.id for r in self.given() if r.id not in input_ids and r.kind not in ("poison", "tick")
        ]
        if missing and not input_exits:
            raise Broken(
                "an accepted input was silently never applied"
                if self.workers[0].view
                else "no progress"
            )
        if missing and REBASED in self.exits:
            raise Broken("not everything was applied after Rebased")
        replayed = {
            r.incident
            for r in self.given()
            if r.kind == "poison" and r.id.startswith("r") and r.born > born
        }
        if not input_exits and replayed - {ladder.incident for ladder in self.truth.state.ladders}:
            raise Broken("a failed input could not be replayed after the fix")
        self.audit_reader()

    def audit_input(self) -> None:
        """Audit each record's input digest against the input."""
        if "audit" not in self.guards or REBASED in self.exits:
            return
        for tx in self.accepted:
            if isinstance(tx.source, int) and (
                tx.source >= len(self.inputs) or digest(self.inputs[tx.source]) != tx.input
            ):
                self.exits |= {"input.rewritten"}

    def audit_reader(self) -> None:
        """Audit the reader's state against the log."""
        view, facts = self.reader
        if (
            "audit" in self.guards
            and view.seq
            and (view.seq > len(self.chain) or self.chain[view.seq - 1][0] != view.head)
        ):
            self.exits |= {"log.truncated"}
        true = {(fact, tx.source) for tx in self.accepted for fact in tx.facts}
        if facts - true and not self.exits & {"log.truncated", LOSS, REBASED}:
            raise Broken("facts that a reader saw vanished silently")


def chain(seed: int, case: str, without: tuple[str, ...] = ()) -> Chain:
    """Return the world of a case with the script of a seed."""
    return Chain(script(seed), without, **{**BUDGET, **CASES[case]})
