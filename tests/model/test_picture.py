"""The real decider shows, in any order of arrival, the picture that the rules give."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.words import EventType, MsgType
from tests.model.picture import NORMAL, Picture, Word, draw_picture
from tests.unit.alerts.scene import Scene

SITES = ("clg-0921353W", "pmi-04", "cen-2")
TYPES = ("closure", "outage_power", "outage_water", "outage_heating")
SENDERS = ("site_manager", "supervision", "rh")
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def threads(draw: st.DrawFn) -> list[Word]:
    """Draw the reports of some senders about some sites, their Updates, Cancels and reopenings.

    A Cancel also ends what others said before it, if its report is known (rule D3), so a subject
    with Cancels has one sender.
    """
    count = draw(st.integers(2, 9))
    times = iter(draw(st.permutations(range(1, 40))))
    subjects = st.tuples(
        st.sampled_from(SENDERS), st.sampled_from(SITES[:2]), st.sampled_from(TYPES[:3])
    )
    words: list[Word] = []
    cancels = draw(st.booleans())
    drawn_subjects = draw(
        st.lists(subjects, min_size=1, max_size=3, unique_by=lambda s: s[1:] if cancels else s)
    )
    for sender, site, type in drawn_subjects:
        own = sorted(next(times) for _ in range(draw(st.integers(1, 4))))
        names: list[str] = []
        for number, at in enumerate(own):
            name = f"{sender}.{site}.{type}.{number}"
            is_last = number and number == len(own) - 1
            if is_last and cancels and draw(st.booleans()):
                cancelled_name = draw(st.sampled_from(names))
                words.append(Word(name, at, sender, site, "Cancel", type, names=(cancelled_name,)))
                continue
            words.append(
                Word(
                    name,
                    at,
                    sender,
                    site,
                    "Update" if number else "Alert",
                    type,
                    draw(st.integers(1, 4)),
                    draw(st.sampled_from((0, 20, 50, 90, 100))),
                    names=tuple(names[-1:]),
                )
            )
            names.append(name)
    for number in range(draw(st.integers(0, 2))):
        lifts = tuple(draw(st.sets(st.sampled_from(TYPES[:3]), min_size=1)))
        site = draw(st.sampled_from(SITES[:2]))
        sender = draw(st.sampled_from(SENDERS))
        words.append(Word(f"open.{number}", next(times), sender, site, "Reopening", lifts=lifts))
    return words[:count]


def send(scene: Scene, minute: float, word: Word) -> None:
    fields: dict[str, Any] = {
        "source": word.sender,
        "source_key": f"key-{word.sender}",
        "alias": word.name,
        "severity": word.severity,
        "occurred": float(word.at),
        "id": f"r-{word.name}",
    }
    if word.kind == "Reopening":
        lifts = tuple(EventType(type) for type in word.lifts)
        scene.report(minute, "reopening", word.site, lifts=lifts, **fields)
        return
    scene.report(
        minute,
        word.type,
        word.site,
        msg_type=MsgType(word.kind),
        references=word.names,
        capacity_lost_pct=float(word.loss),
        **fields,
    )


def show(order: list[Word], site: str) -> Picture:
    """Return the picture of a site after the reports arrived in this order."""
    scene = Scene()
    for number, word in enumerate(order):
        send(scene, 60 + number, word)
    row = scene.state.sites.get(site)
    causes = [] if row is None else [c for c in row.causes if not c.planned]
    return Picture(
        scene.status(site),
        100.0 if row is None else row.capacity_pct,
        frozenset((c.type.value, c.severity, _find_loss(scene, site, c.type)) for c in causes),
    )


def _find_loss(scene: Scene, site: str, type: EventType) -> int:
    causes = (scene.state.causes[id] for id in scene.state.site_causes.get(site, ()))
    return next(int(c.loss_pct or 0) for c in causes if c.type is type)


def has_generator(site: str) -> bool:
    return Scene().state.territory.sites[site].generator


@FEW
@given(threads(), st.randoms(use_true_random=False))
def test_the_picture_of_a_site_is_that_of_the_rules_in_any_order(
    words: list[Word], shuffle: Any
) -> None:
    order = list(words)
    shuffle.shuffle(order)
    for site in SITES[:2]:
        expected = draw_picture(words, site, generator=has_generator(site))
        assert show(order, site) == expected, [f"{w.name} {w.kind} {w.at}" for w in order]


def thread(*kinds: str) -> list[Word]:
    """Return the versions of one report, each a minute after the one before."""
    words: list[Word] = []
    for number, kind in enumerate(kinds, start=1):
        before = tuple(w.name for w in words[-1:])
        kind_, severity = ("Cancel", 1) if kind == "Cancel" else (kind, 5 - number)
        words.append(
            Word(
                f"w{number}",
                number,
                SENDERS[0],
                SITES[0],
                kind_,  # type: ignore[arg-type]
                "outage_water",
                severity,
                100 - 20 * number,
                names=before,
            )
        )
    return words


@pytest.mark.parametrize(
    "kinds",
    [
        ("Alert", "Update"),
        ("Alert", "Cancel"),
        ("Alert", "Update", "Update"),
        ("Alert", "Update", "Cancel"),
        ("Alert", "Update", "Cancel", "Alert"),
    ],
    ids="-".join,
)
def test_every_order_of_the_versions_of_one_report_shows_the_same(kinds: tuple[str, ...]) -> None:
    words = thread(*kinds)
    expected = draw_picture(words, SITES[0], generator=has_generator(SITES[0]))
    assert (expected == NORMAL) == (kinds[-1] == "Cancel")
    for order in permutations(words):
        assert show(list(order), SITES[0]) == expected, [w.kind for w in order]


@settings(FEW, max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from((None, 20.0, 50.0, 90.0)), min_size=2, max_size=4),
    st.lists(st.sampled_from((None, 3, 40)), min_size=4, max_size=4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_value_that_an_update_does_not_carry_stays_in_any_order(
    losses: list[float | None], persons: list[int | None], chained: bool, shuffle: Any
) -> None:
    """D3: an Update replaces the values that it carries; the report may come after it."""
    reports: list[dict[str, Any]] = []
    for number, loss in enumerate(losses):
        before = f"r{number - 1}" if chained else "r0"
        reports.append(
            {
                "id": f"r{number}",
                "occurred": float(number),
                "severity": 4 - number % 3,
                "capacity_lost_pct": loss,
                "persons_concerned": persons[number],
                "msg_type": MsgType.UPDATE if number else MsgType.ALERT,
                "references": (before,) if number else (),
            }
        )
    order = list(reports)
    shuffle.shuffle(order)
    pictures = []
    for arrivals in (reports, order):
        scene = Scene()
        for number, report in enumerate(arrivals):
            scene.report(60 + number, "outage_power", SITES[0], **report)
        (cause,) = (c for c in scene.state.causes.values() if c.lifted_at is None)
        pictures.append((scene.status(SITES[0]), cause.severity, cause.loss_pct, cause.persons))
    newest_loss = next((loss for loss in reversed(losses) if loss is not None), None)
    assert pictures[0][2] == newest_loss
    assert pictures[1] == pictures[0], [report["id"] for report in order]
