"""`vigie dlq`: a dead letter is found, read and offered again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.commands import SetLevel
from schemas.topics import input_topic
from schemas.wire import CE_ID, CE_SOURCE, CE_TYPE, MARK
from schemas.words import Level
from services.cli.__main__ import app
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import RecordProducer, choose_partition, encode_message
from services.runtime.kafka.dead_letters import TOPIC, DeadLetter, DeadLetterKind
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.settings import Settings

REALM = "92~test-dlq"


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("VIGIE_KAFKA", settings.kafka)


def bury(settings: Settings, letter: DeadLetter) -> None:
    async def send() -> None:
        async with RecordProducer(settings.kafka) as producer:
            await producer.send_raw(TOPIC, letter.lane_partition, letter.key, letter.dump(), [])

    asyncio.run(send())


def vigie(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, args)
    return done.exit_code, done.output


def newest_input(settings: Settings) -> Any:
    async def read() -> Any:
        topic, partition = input_topic("alerts"), choose_partition(input_topic("alerts"), REALM)
        async with PartitionReader(settings.kafka) as reader:
            (_, end) = (await reader.bounds(topic, [partition]))[partition]
            return (await reader.at(topic, {partition: end - 1}))[partition]

    return asyncio.run(read())


def letter(id: str, **changes: Any) -> DeadLetter:
    return DeadLetter(
        id,
        DeadLetterKind.UNREADABLE,
        "alerts",
        REALM,
        1_770_000_000_000,
        "invalid",
        "severity: less_than_equal",
        "report-1",
        "vigie.ReportReceived.v1",
        "/intake",
        input_topic("alerts"),
        0,
        7,
        **{
            "headers": {
                "ce_id": "report-1",
                "ce_type": "vigie.ReportReceived.v1",
                "ce_source": "/intake",
            },
            "body": b'{"severity": 9}',
            **changes,
        },
    )


def test_a_repeated_dead_letter_is_listed_once_with_its_reason(settings: Settings) -> None:
    for _ in range(2):
        bury(settings, letter("aaaa-1"))
    code, output = vigie("dlq", "list", "--realm", REALM, "--json")
    assert code == 0
    (item,) = [i for i in json.loads(output)["items"] if i["id"] == "aaaa-1"]
    assert (item["code"], item["detail"], item["input_id"]) == (
        "invalid",
        "severity: less_than_equal",
        "report-1",
    )


def test_a_corrected_input_goes_back_to_its_topic_under_its_own_id(
    settings: Settings, tmp_path: Path
) -> None:
    bury(settings, letter("bbbb-1"))
    code, original = vigie("dlq", "show", "bbbb", "--raw")
    assert (code, original) == (0, '{"severity": 9}')
    corrected = tmp_path / "corrected.json"
    corrected.write_text(original.replace("9", "3"))
    code, output = vigie("dlq", "replay", "bbbb", "--body", str(corrected))
    assert code == 0, output
    record = newest_input(settings)
    assert json.loads(record.value) == {
        "severity": 3,
        "certainty": "unconfirmed",
        "corrected_by": "local-admin",
    }
    assert record.key == REALM.encode()
    assert dict(record.headers)["ce_id"] == b"report-1"


def test_a_command_that_none_of_ours_wrote_becomes_the_operators_own(settings: Settings) -> None:
    command = SetLevel(author="p-dupont", role="director", scope="territory", level=Level.N4)
    headers = {
        CE_ID: "cmd-1",
        CE_TYPE: command.wire_type(),
        CE_SOURCE: "person:p-dupont?role=director",
        MARK: "0" * 64,
    }
    unsigned = letter("dddd-1", headers=headers, body=encode_message(command))
    bury(settings, replace(unsigned, code="unsigned", input_type=command.wire_type()))
    code, output = vigie("dlq", "replay", "dddd")
    assert code == 0, output
    record = newest_input(settings)
    assert InputMarks.open(settings.data.secrets).proves(record)
    command_document = json.loads(record.value)
    assert (command_document["author"], command_document["role"], command_document["level"]) == (
        "local-admin",
        "admin",
        4,
    )
    assert dict(record.headers)[CE_SOURCE] == b"person:local-admin?role=admin"


def test_an_unknown_or_ambiguous_id_is_reported_in_one_line(settings: Settings) -> None:
    bury(settings, letter("cccc-1"))
    bury(settings, letter("cccc-2"))
    assert vigie("dlq", "show", "zzzz") == (
        1,
        "vigie dlq: no dead letter zzzz: see `vigie dlq list`\n",
    )
    assert vigie("dlq", "show", "cccc") == (
        1,
        "vigie dlq: 2 dead letters begin with cccc: give more of the id\n",
    )
