"""A metric is one row of a module in its folder, and one row of texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.predicates import CONTINUITY_METRICS, Measured
from services.alerts.levels import metrics
from services.alerts.levels.metrics import bind_metric, load_metric_types
from services.alerts.levels.rulebook import EMPTY_RULEBOOK, _compute_tracked_marks
from services.console.texts.reasons import METRIC_TEXTS

FLOODED = """
from services.alerts.levels.metrics.base import MetricType, select_group
from services.alerts.levels.metrics.sites import make_marked

METRICS = {
    "sites_flooded": MetricType(
        make_marked("flooded"), marks=lambda args: (("flooded", select_group(args)),)
    ),
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a second folder of metrics."""
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    load_metric_types.cache_clear()
    yield tmp_path
    load_metric_types.cache_clear()
    for name in ("floods_of_a_test", "twin_of_a_test"):
        sys.modules.pop(f"{metrics.__name__}.{name}", None)


def test_every_metric_has_texts() -> None:
    assert METRIC_TEXTS.keys() == load_metric_types().keys() | CONTINUITY_METRICS, (
        "add a row to services/console/texts/reasons.py"
    )


def test_a_new_module_is_a_metric_and_its_marks_are_counted(folder: Path) -> None:
    (folder / "floods_of_a_test.py").write_text(FLOODED, encoding="utf-8")
    measured = Measured(metric="sites_flooded", args={"kind": "college"}, op=">=", value=1)
    assert bind_metric(measured, EMPTY_RULEBOOK.territory, {}).reads == {"mark:flooded"}
    assert _compute_tracked_marks([measured])["flooded"] == {"kind:"}


def test_two_metrics_cannot_share_a_name(folder: Path) -> None:
    (folder / "twin_of_a_test.py").write_text(
        FLOODED.replace("sites_flooded", "sites_out"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="twin_of_a_test: another metric is called sites_out"):
        load_metric_types()
