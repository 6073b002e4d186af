"""Deadlines of continuity are typed values with one text, which logs hold for ever."""

from __future__ import annotations

from typing import get_args

import pytest

from services.continuity import deadlines as d

TEXTS: dict[d.ContinuityDeadline, str] = {
    d.ActivityDue("ase-1"): "activity:ase-1",
    d.SettlementDue("ase-1", "5b1c", 1): "settle:ase-1:5b1c:1",
    d.RereadDue("ase-1"): "reread:ase-1",
    d.DependencyDue("system:paie"): "dependency:system:paie",
    d.PlanDue("PCA-crue"): "plan:PCA-crue",
    d.SitrepDue(): "sitrep:due",
    d.SiteCardsDue("PCA-crue"): "cards:PCA-crue",
    d.CardRemindersDue(): "remind:",
    d.ReviewDue(): "reassign:",
    d.OrderDue("d-1", "pmi-04", 0): "order:d-1:pmi-04:0",
    d.RecallNoticeDue("d-1"): "announce:d-1",
    d.RecallDue("d-1", "pmi-04", 2): "back:d-1:pmi-04:2",
    d.DroppedLinesDue(1): "dropped:1",
    d.UncountedDue(): "uncounted:",
    d.RequestDue("q-1"): "resource:q-1",
}


@pytest.mark.parametrize(("key", "text"), TEXTS.items(), ids=str)
def test_deadlines_of_continuity_keep_their_text(key: d.ContinuityDeadline, text: str) -> None:
    assert str(key) == text
    assert d.KEYS.parse(text) == key


def test_every_kind_of_deadline_is_listed_here() -> None:
    assert {type(key) for key in TEXTS} == set(get_args(d.ContinuityDeadline))
