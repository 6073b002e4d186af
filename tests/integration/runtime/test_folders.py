"""Where the broker's data lie: under the folder that was named, whatever its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.runtime.embedded.kafka import BrokerFailed
from tests.brokers import make_node


@pytest.mark.parametrize("name", ["données d’été 😀", " a b ", r"a\tb", "a=b#c!"])
def test_a_folder_of_any_name_holds_what_the_broker_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Java reads its settings in Latin-1: the logs were written to a folder of another name, beside the one that is kept and backed up."""
    monkeypatch.setenv("LC_ALL", "C")
    folder = tmp_path / name / "kafka"
    node = replace(make_node(folder), log_file=tmp_path / name / "broker.jsonl")
    node.prepare()
    assert node.is_formatted(folder)
    assert (tmp_path / name / "broker.jsonl").exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_comma_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    node = make_node(tmp_path / "a,b")
    with pytest.raises(BrokerFailed, match="comma"):
        node.prepare()
    assert [p.name for p in tmp_path.iterdir()] == []
