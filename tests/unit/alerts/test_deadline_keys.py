"""Deadlines of alerts are typed values with one text, which logs and snapshots keep."""

from __future__ import annotations

from typing import get_args

import pytest

from services.alerts import deadlines as d

TEXTS: dict[d.AlertsDeadline, str] = {
    d.CauseDue("c-1"): "cause:c-1",
    d.ReportDue("r-1"): "report:r-1",
    d.SilenceDue("i-1", 5): "silence:i-1:5",
    d.AllClearDue("i-1"): "allclear:i-1",
    d.AreaOrderDue("c-1"): "area:c-1",
    d.ActionDue("a-1"): "action:a-1",
    d.ObligationDue("o-1"): "obligation:o-1",
    d.EscalationDue("e-1"): "ladder:e-1",
    d.AcknowledgementStale("e-1"): "stale:e-1",
    d.ReadinessDue(): "prove",
    d.ShiftLimitNear("p-1"): "relief:p-1",
    d.StaffingDue(): "staffing",
    d.ThresholdRearmed("n3.1#0@i-1"): "rearm:n3.1#0@i-1",
    d.FlagDue("flag:cod_active"): "flag:flag:cod_active",
    d.YellowDigestDue("vigilance:rain"): "yellow:vigilance:rain",
    d.IndexDecayed("cuts", 3_600_000): "decay:cuts:3600000",
    d.WindowDue("w-1", 2): "maintenance:w-1:2",
    d.ReferenceChangeDue("ch-1", 4): "reference:ch-1:4",
    d.LeaseDue("r-1"): "lease:r-1",
    d.MoveDue("i-1", 300): "move:i-1:300",
    d.HistoryDue(): "forget",
}


@pytest.mark.parametrize(("key", "text"), TEXTS.items(), ids=str)
def test_deadlines_of_alerts_keep_their_text(key: d.AlertsDeadline, text: str) -> None:
    assert str(key) == text
    assert d.KEYS.parse(text) == key


def test_every_kind_of_deadline_is_listed_here() -> None:
    assert {type(key) for key in TEXTS} == set(get_args(d.AlertsDeadline))
