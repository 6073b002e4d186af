"""Generated crises with planted hidden dependencies, for the miner of co-failures. Rule D131.

They hold what misleads a miner: resources that fail often, or together for a common cause;
activities that are degraded often; degradations with a declared cause; hidden dependencies that
stay without a declaration; late and early clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from schemas.base import HOUR_MS, MINUTE_MS
from services.console.dependencies.hidden import Degradation, Outage, RecordedCrisis

START = 1_802_335_200_000


@dataclass(frozen=True, slots=True)
class PlantedCrises:
    """Crises and the dependencies that were planted in them."""

    crises: list[RecordedCrisis]
    planted: set[tuple[str, str]]


def generate_crises(
    seed: int, declared: Mapping[str, frozenset[str]], *, count: int = 80, planted: int = 10
) -> PlantedCrises:
    """Generate crises from the declared dependencies of a territory and some planted ones."""
    random = Random(seed)
    resources = sorted(frozenset().union(*declared.values()))
    often = random.sample(resources, 12)
    hidden = _plant(random, declared, resources, planted)
    groups = [random.sample(resources, 4) for _ in range(6)]
    noisy = random.sample(sorted(declared), 5)
    crises = [
        _generate_crisis(random, n, declared, resources, often, groups, hidden, noisy)
        for n in range(count)
    ]
    return PlantedCrises(crises, hidden)


def _plant(
    random: Random, declared: Mapping[str, frozenset[str]], resources: list[str], count: int
) -> set[tuple[str, str]]:
    hidden_pairs: set[tuple[str, str]] = set()
    while len(hidden_pairs) < count:
        resource, activity = random.choice(resources), random.choice(sorted(declared))
        if resource not in declared[activity] and resource not in {r for r, _ in hidden_pairs}:
            hidden_pairs.add((resource, activity))
    return hidden_pairs


def _generate_crisis(
    random: Random,
    number: int,
    declared: Mapping[str, frozenset[str]],
    resources: list[str],
    often: list[str],
    groups: list[list[str]],
    hidden: set[tuple[str, str]],
    noisy: list[str],
) -> RecordedCrisis:
    start = START + number * 30 * 24 * HOUR_MS
    length = round(random.uniform(6, 48) * HOUR_MS)
    out = set(random.sample(resources, random.randint(2, 8)))
    out.update(random.sample(often, random.randint(1, 4)))
    out.update(random.sample(sorted(r for r, _ in hidden), min(len(hidden), random.randint(0, 3))))
    if random.random() < 0.5:
        out.update(r for r in random.choice(groups) if random.random() < 0.8)
    outages, degradations = [], []
    for resource in sorted(out):
        since = start + round(random.uniform(0, 0.5) * length)
        until = since + round(random.expovariate(1 / 10) * HOUR_MS) + HOUR_MS
        outages.append(Outage(resource, since, until if random.random() < 0.8 else None))
        for activity, names in declared.items():
            chance = 0.6 if resource in names else 0.9 if (resource, activity) in hidden else 0.0
            if random.random() < chance:
                lag = random.expovariate(1 / 60) * MINUTE_MS - 5 * MINUTE_MS
                degradations.append(Degradation(activity, since + round(lag)))
    for activity in sorted(declared):
        if random.random() < (0.35 if activity in noisy else 0.04):
            at = start + round(random.uniform(0, 1) * length)
            degradations.append(Degradation(activity, at))
    return RecordedCrisis(f"crisis-{number}", tuple(outages), tuple(degradations))
