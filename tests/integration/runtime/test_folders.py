"""The broker's data lie under the named folder, with any name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.appliance.embedded.kafka import BrokerFailed
from services.appliance.embedded.node import make_node as embedded_node
from services.runtime.process.settings import Settings
from tests.brokers import make_node

NAMES = ("données d’été 😀", " a b ", r"a\tb", "a=b#c!", "100 %d %i")


def test_a_folder_of_any_name_holds_the_files_of_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Java reads its settings in Latin-1.

    The logs were written to a folder of another name, outside every backup. The folder lies in
    one of each name: a name that is misread shows itself beside the right one.
    """
    monkeypatch.setenv("LC_ALL", "C")
    above = tmp_path.joinpath(*NAMES)
    folder = above / "kafka"
    # makes the folder, for its password
    node = replace(make_node(folder), log_file=above / "broker.jsonl")
    # full: the next line is written to a new one
    (above / "broker.jsonl").write_bytes(b"\n" * 10_500_000)
    node.prepare()
    assert node.is_formatted(folder)
    assert {f.name for f in above.iterdir()} == {"broker.jsonl", "broker.jsonl.1", "kafka"}
    assert (above / "broker.jsonl").stat().st_size < 1_000_000
    for depth, name in enumerate(NAMES):
        beside = tmp_path.joinpath(*NAMES[:depth]).iterdir()
        assert [p.name for p in beside] == [name]


@pytest.mark.parametrize("name", ["a,b", "a${env:HOME}"])
def test_a_path_that_kafka_misreads_is_refused_before_any_write(tmp_path: Path, name: str) -> None:
    folder, secrets = tmp_path / name, tmp_path / "secrets"
    secrets.mkdir()
    with pytest.raises(BrokerFailed, match="Kafka takes"):
        embedded_node(folder, (1, 2), folder / "broker.jsonl", Settings().cache_dir, secrets)
    assert list(tmp_path.rglob("*")) == [secrets]


@pytest.mark.parametrize("name", ["a,b", "a${env:HOME}"])
def test_a_node_of_such_a_folder_writes_nothing_either(tmp_path: Path, name: str) -> None:
    node = replace(make_node(tmp_path / "node"), folder=tmp_path / name)
    with pytest.raises(BrokerFailed, match="Kafka takes"):
        node.prepare()
    assert not (tmp_path / name).exists()
