"""The reassignment model a second time, for small cases, from its description alone.

Written from docs/reference/reassignment-model.md with OR-Tools instead of HiGHS, one constraint
after the other instead of arrays. It shares no code with `services.continuity.reassignment.model`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from schemas.reference import Site, Staffing

LEVELS = ("U1", "U2", "U3", "K", "I", "Q", "D", "C")
Key = tuple[str, str, str]
Move = tuple[Key, str, Key | None, str]
"""Agents (d or r), their need (`None`: their own work) and their place (a site or `tele`)."""


@dataclass(frozen=True)
class Case:
    sites: tuple[Site, ...]
    staffing: Staffing
    touched: dict[str, tuple[int, int, bool]]
    """Site → staff_pct, seat_pct, host_ok."""
    elapsed_h: float = 0
    transit: bool = True
    tele: bool = True
    seen: dict[Move, int] = field(default_factory=dict)
    """Lines of an earlier proposal, not approved."""
    approved: dict[Move, int] = field(default_factory=dict)


def fields(move: Move) -> tuple[str, ...]:
    """Return the keys of a line in their order (§4, H)."""
    cell, kind, need, place = move
    return (*cell, "own", place) if need is None else (*cell, kind, *need, place)


def split(total: int, parts: dict[Key, int]) -> dict[Key, int]:
    whole = sum(parts.values())
    if whole == 0:
        return dict.fromkeys(parts, 0)
    shares = {k: total * n // whole for k, n in parts.items()}
    rest = total - sum(shares.values())
    for key in sorted(parts, key=lambda k: (-(total * parts[k] - shares[k] * whole), k))[:rest]:
        shares[key] += 1
    return shares


class Small:
    """Quantities of a case (§2)."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.site = {s.id: s for s in case.sites}
        self.rule = {r.activity: r for r in case.staffing.rules}
        self.staff = {(c.site, c.activity, c.metier): c.staff for c in case.staffing.cells}
        self.minimum = {(c.site, c.activity, c.metier): c.minimum for c in case.staffing.cells}
        self.keys = sorted(self.staff)
        self.p: dict[Key, int] = {}
        self.c: dict[Key, int] = {}
        for s in self.site:
            here = {k: self.staff[k] for k in self.keys if k[0] == s}
            n = sum(here.values())
            staff_pct, seat_pct, _ = self.state(s)
            self.p |= split((n * staff_pct + 50) // 100, here)
            self.c |= split((n * seat_pct + 50) // 100, here)
        self.w = {k: min(self.p[k], self.c[k]) for k in self.keys}
        self.disp = {k: self.p[k] - self.w[k] for k in self.keys}
        self.rel = {
            k: max(
                0,
                min(
                    self.w[k] - self.minimum[k],
                    (self.staff[k] * self.rule[k[1]].release_pct + 50) // 100,
                ),
            )
            for k in self.keys
        }
        self.demand = {
            k: d
            for k in self.keys
            if self.rule[k[1]].criticality <= 3 and (d := self._demand(k)) > 0
        }

    def state(self, site: str) -> tuple[int, int, bool]:
        return self.case.touched.get(site, (100, 100, True))

    def _demand(self, k: Key) -> int:
        least = min(self.minimum[k], self.c[k]) if self.rule[k[1]].site_bound else self.minimum[k]
        return least - self.w[k]

    def open_host(self, site: str) -> bool:
        _, seats, ok = self.state(site)
        return ok and seats == 100

    def desks(self, site: str) -> int:
        return self.raw_desks(site) if self.open_host(site) else 0

    def raw_desks(self, site: str) -> int:
        """Return the desks of a site before its limits."""
        there = sum(self.p[k] for k in self.keys if k[0] == site and self.rule[k[1]].needs_desk)
        return max(0, (20 if self.site[site].kind == "gymnase" else self.site[site].desks) - there)

    def metres(self, a: str, b: str) -> int:
        one, two = self.site[a], self.site[b]
        f1, f2 = math.radians(one.lat), math.radians(two.lat)
        df, dl = f2 - f1, math.radians(two.lon) - math.radians(one.lon)
        x = math.sin(df / 2) ** 2 + math.cos(f1) * math.cos(f2) * math.sin(dl / 2) ** 2
        return round(2 * 6371008.8 * math.asin(math.sqrt(x)))

    def travel(self, a: str, b: str) -> tuple[int, int]:
        if a == b or b == "tele":
            return 0, 0
        road = (13 * self.metres(a, b) + 5) // 10
        bus = 10 + math.ceil(60 * road / 18000)
        minutes, per_km = (
            (bus, 10)
            if self.case.transit and bus <= 45
            else (5 + math.ceil(60 * road / 25000), 218)
        )
        return minutes, (2 * road * per_km + 500) // 1000

    def hosts(self, site: str, activity: str) -> list[str]:
        rule = self.rule[activity]
        able = [
            h
            for h in self.site
            if h != site
            and self.open_host(h)
            and self.site[h].kind in rule.host_kinds
            and (not rule.needs_desk or self.desks(h) > 0)
        ]
        return sorted(able, key=lambda h: (self.metres(site, h), h))[:12]

    def urgency(self, need: Key) -> int:
        remaining_hours = self.rule[need[1]].rto_h - self.case.elapsed_h
        return (
            8
            if remaining_hours <= 4
            else 4
            if remaining_hours <= 12
            else 2
            if remaining_hours <= 24
            else 1
        )

    def fair(self, pole: str) -> int:
        """Add constraint 7."""
        return sum(n for k, n in self.staff.items() if self.rule[k[1]].pole == pole) // 20

    def tele_cap(self, k: Key) -> int:
        rule = self.rule[k[1]]
        return self.demand[k] * rule.tele_pct // 100 if self.case.tele and rule.needs_desk else 0

    def places(self, k: Key) -> list[str]:
        rule = self.rule[k[1]]
        possible_places = [k[0]] if rule.site_bound or self.w[k] < self.c[k] else []
        possible_places += [] if rule.site_bound else self.hosts(k[0], k[1])
        return [*possible_places, "tele"] if self.tele_cap(k) > 0 else possible_places

    def skill(self, cell: Key, wanted: str) -> int | None:
        """Return the penalty in tenths, or None if a hard rule forbids it."""
        if cell[2] == wanted:
            return 0
        for line in self.case.staffing.substitutions:
            if (line.metier, line.by) != (wanted, cell[2]):
                continue
            kitchen = self.site[cell[0]].kitchen
            if line.condition == "R2" and cell[1] not in (
                "SOL-01",
                "SOL-02",
                "SOL-03",
                "SOL-04",
                "SOL-06",
            ):
                return None
            if line.condition == "R3" and (
                kitchen is None or (wanted == "cuisinier" and kitchen != "sur-place")
            ):
                return None
            return line.tenths
        return None

    def price(self, move: Move) -> tuple[int, int, int]:
        """Return tenths, minutes and grams of a line."""
        cell, kind, need, place = move
        minutes, grams = self.travel(cell[0], place)
        if need is None:
            return 0, minutes, grams
        skill, rule = self.skill(cell, need[2]), self.rule[need[1]]
        assert skill is not None
        donor = 0 if kind == "d" else {4: 1, 3: 2, 2: 4, 1: 6}[self.rule[cell[1]].criticality]
        odd = (
            (rule.tele_pct < 100)
            if place == "tele"
            else place != need[0] and self.site[place].kind not in rule.home_kinds
        )
        return skill + donor + odd, minutes, grams

    def moves(self) -> Iterator[Move]:
        """List every admissible line."""
        for need in self.demand:
            for cell in self.keys:
                if self.skill(cell, need[2]) is None:
                    continue
                for kind in "dr":
                    if (kind == "d" and not self.disp[cell]) or (
                        kind == "r" and (not self.rel[cell] or cell == need)
                    ):
                        continue
                    for place in self.places(need):
                        if (self.rule[cell[1]].needs_desk or place != "tele") and self.travel(
                            cell[0], place
                        )[0] <= 75:
                            yield cell, kind, need, place
        for cell in self.keys:
            yield from ((cell, "d", None, place) for place in self.own_places(cell))

    def own_places(self, cell: Key) -> list[str]:
        """List places for the own work of displaced agents of a cell."""
        rule = self.rule[cell[1]]
        if not self.disp[cell] or rule.site_bound or rule.criticality > 3:
            return []
        places = [
            h
            for h in self.hosts(cell[0], cell[1])
            if self.site[h].kind in rule.home_kinds and self.travel(cell[0], h)[0] <= 75
        ]
        return (
            [*places, "tele"]
            if self.case.tele and rule.needs_desk and self.disp[cell] * rule.tele_pct // 100
            else places
        )

    def at_home(self, cell: Key) -> int:
        """Add constraint 4."""
        return self.disp[cell] * (self.rule[cell[1]].tele_pct or 100) // 100

    def away(self, cell: Key) -> int:
        """Add constraint 6."""
        return self.disp[cell] - self.disp[cell] // 10

    def takes_desk(self, move: Move) -> bool:
        cell, _, need, place = move
        return place not in ("tele", (need or cell)[0]) and self.rule[(need or cell)[1]].needs_desk

    def void(self, move: Move) -> bool:
        """Return True for an approved line without its need or without seats at its host."""
        _, _, need, place = move
        if place == "tele" or (need is not None and need not in self.demand):
            return not self.case.tele or (need is not None and need not in self.demand)
        if need is not None and place == need[0]:
            return not (self.rule[need[1]].site_bound or self.w[need] < self.c[need])
        return self.state(place)[1] < 100

    def floors(self) -> dict[Move, int]:
        """Return approved lines as lower bounds, in key order, within the remaining agents."""
        lower_bounds: dict[Move, int] = {}
        limits: dict[tuple[Any, ...], int] = {}
        for line in sorted(self.case.approved, key=fields):
            rest = 0 if self.void(line) else self.case.approved[line]
            for kind in ("r", "d") if line[1] == "r" else ("d",):
                move = (line[0], kind, line[2], line[3])
                limits = {**self.limits(move), **limits}
                count = min(rest, *(limits[name] for name in self.limits(move)))
                for name in self.limits(move):
                    limits[name] -= count
                if count:
                    lower_bounds[move] = lower_bounds.get(move, 0) + count
                rest -= count
        return lower_bounds

    def limits(self, move: Move) -> dict[tuple[Any, ...], int]:
        """Return constraints 1 to 6 on a line, by name: the most agents over all their lines."""
        cell, kind, need, place = move
        upper_bounds: dict[tuple[Any, ...], int] = {
            ("supply", cell, kind): self.disp[cell] if kind == "d" else self.rel[cell]
        }
        if need is not None:
            upper_bounds["demand", need] = self.demand.get(need, 0)
            if place == "tele":
                upper_bounds["tele", need] = self.tele_cap(need) if need in self.demand else 0
        if kind == "d" and place == "tele":
            upper_bounds["home", cell] = self.at_home(cell)
        if kind == "d" and need not in (None, cell):
            upper_bounds["away", cell] = self.away(cell)
        if self.takes_desk(move):
            upper_bounds["desks", place] = self.raw_desks(place)
        return upper_bounds


def checked(case: Case, lines: Mapping[Move, int]) -> dict[str, int]:
    """Count the levels of a proposal line by line.

    Fails at an inadmissible line or a broken constraint.
    """
    q, floors = Small(case), Small(case).floors()
    used: dict[tuple[Any, ...], int] = defaultdict(int)
    limits: dict[tuple[Any, ...], int] = {}
    gifts_by_pole: dict[str, int] = defaultdict(int)
    level_totals = dict.fromkeys(LEVELS, 0)
    for move, count in lines.items():
        cell, kind, need, _ = move
        assert count > 0
        assert count <= floors.get(move, 0) or _admissible(q, move), (
            f"{move}: {count}, {floors.get(move, 0)} approved"
        )
        limits |= q.limits(move)
        for name in q.limits(move):
            used[name] += count
        gifts_by_pole[q.rule[cell[1]].pole] += count if kind == "r" else 0
        for level, value in zip("QDC", q.price(move), strict=True):
            level_totals[level] += value * count
    assert all(lines.get(move, 0) >= count for move, count in floors.items()), (
        "an approved line is not kept"
    )
    assert not {name: (n, limits[name]) for name, n in used.items() if n > limits[name]}
    for need, count in q.demand.items():
        level_totals[f"U{q.rule[need[1]].criticality}"] += q.urgency(need) * (
            count - used["demand", need]
        )
    level_totals["I"] = sum(
        n - used["supply", cell, "d"]
        for cell, n in q.disp.items()
        if q.rule[cell[1]].criticality <= 3
    )
    level_totals["D"] += sum(60 * max(0, n - q.fair(pole)) for pole, n in gifts_by_pole.items())
    level_totals["K"] = sum(
        max(0, floors.get(move, 0) + n - lines.get(move, 0))
        for move, n in case.seen.items()
        if _admissible(q, move)
    )
    return level_totals


def _admissible(q: Small, move: Move) -> bool:
    """Return True for an admissible new line."""
    cell, kind, need, place = move
    if need is None:
        return place in q.own_places(cell)
    supply = q.disp[cell] if kind == "d" else q.rel[cell] if cell != need else 0
    return (
        need in q.demand
        and supply > 0
        and q.skill(cell, need[2]) is not None
        and place in q.places(need)
        and (q.rule[cell[1]].needs_desk or place != "tele")
        and q.travel(cell[0], place)[0] <= 75
    )


def optimum(case: Case, *, tie_break: bool = False, cohesion: bool = False) -> dict[str, int]:
    """Solve the levels by CP-SAT; H and G on request."""
    from ortools.sat.python import cp_model  # Brings pandas: half a second in every worker

    q = Small(case)
    model, floors = cp_model.CpModel(), q.floors()
    levels = (*LEVELS[:6], *("G",) * cohesion, *LEVELS[6:], *("H",) * tie_break)
    cost: dict[str, list[tuple[int, Any]]] = {level: [] for level in levels}
    groups: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    sharing: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    limits: dict[tuple[Any, ...], int] = {}
    gifts_by_pole: dict[str, list[Any]] = defaultdict(list)
    variables: dict[Move, Any] = {}
    new = list(q.moves())
    for move in dict.fromkeys([*new, *floors]):
        cell, kind, need, place = move
        least = floors.get(move, 0)
        x = variables[move] = model.new_int_var(
            least, q.limits(move)["supply", cell, kind] if move in new else least, ""
        )
        for level, value in zip("QDC", q.price(move), strict=True):
            cost[level].append((value, x))
        if tie_break:
            cost["H"].append(
                (1 + int.from_bytes(sha256("|".join(fields(move)).encode()).digest()[:2], "big"), x)
            )
        limits |= q.limits(move)
        for name in q.limits(move):
            sharing[name].append(x)
        if kind == "r":
            gifts_by_pole[q.rule[cell[1]].pole].append(x)
        if place not in ("tele", (need or cell)[0]):
            groups[(*(need or cell)[:2], place)].append(x)
    if cohesion:
        cost["G"] = [(1, _switch(model, xs)) for xs in groups.values()]
    for name, xs in sharing.items():
        model.add(sum(xs) <= limits[name])
    for cell, count in q.disp.items():
        idle = model.new_int_var(0, count, "")
        model.add(sum(sharing["supply", cell, "d"]) + idle == count)
        if q.rule[cell[1]].criticality <= 3:
            cost["I"].append((1, idle))
    for need, count in q.demand.items():
        unmet = model.new_int_var(0, count, "")
        model.add(sum(sharing["demand", need]) + unmet == count)
        cost[f"U{q.rule[need[1]].criticality}"].append((q.urgency(need), unmet))
    cost["D"] += [
        (60, _excess(model, q.fair(pole), gifts)) for pole, gifts in gifts_by_pole.items()
    ]
    for move, count in case.seen.items():
        if move in new:
            cost["K"].append((1, _shortfall(model, variables[move], floors.get(move, 0) + count)))
    return _lexicographic(model, cost)


def _switch(model: Any, xs: list[Any]) -> Any:
    """Return 1 if any of them is more than 0."""
    on = model.new_bool_var("")
    for x in xs:
        model.add(x == 0).only_enforce_if(~on)
    return on


def _excess(model: Any, share: int, gifts: list[Any]) -> Any:
    excess = model.new_int_var(0, 10_000, "")
    model.add(sum(gifts) <= share + excess)
    return excess


def _shortfall(model: Any, variable: Any, count: int) -> Any:
    short = model.new_int_var(0, count, "")
    model.add(variable + short >= count)
    return short


def _lexicographic(model: Any, cost: dict[str, list[tuple[int, Any]]]) -> dict[str, int]:
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    optima: dict[str, int] = {}
    for level, terms in cost.items():
        total = sum(w * x for w, x in terms if w)
        if isinstance(total, int):
            optima[level] = 0
            continue
        model.minimize(total)
        assert solver.solve(model) == cp_model.OPTIMAL
        optima[level] = round(solver.objective_value)
        model.add(total <= optima[level])
    return optima
