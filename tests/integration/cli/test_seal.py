"""The logs of a year form one signed archive; the next continues it, and changes are found."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from services.cli.data.seal import SealRefused, archive_log
from services.runtime.log.heads import FORMAT, HeadStatementInvalid, read_statement, sign_statement
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.secrets.signing import SigningKey
from tests.system import RunningVigie
from tests.waiting import until


def report(vigie: RunningVigie) -> None:
    body = {
        "site_id": "cen-1",
        "type": "outage_power",
        "severity": 2,
        "occurred_at": datetime.now(UTC).isoformat(),
        "headline": "essai",
    }
    id = vigie.http.post(
        "/api/v1/reports", json=body, headers={"Idempotency-Key": uuid4().hex}
    ).json()["report_id"]
    until(lambda: vigie.get(f"/api/v1/reports/{id}")["state"] in ("applied", "duplicate"))


def changed(file: Path, to: Path) -> Path:
    """Return the same archive with one changed word of one record."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(
                name,
                old.read(name).replace(b"vigie.", b"Vigie.", 1)
                if name.startswith("alerts")
                else old.read(name),
            )
    return to


def test_a_seal_is_proved_by_itself_and_by_the_logs(vigie: RunningVigie, tmp_path: Path) -> None:
    report(vigie)
    first, second = tmp_path / "2026.zip", tmp_path / "2027.zip"
    sealed = vigie.cli("seal", str(first), "--json")
    assert sealed.returncode == 0, sealed.stderr
    about = json.loads(sealed.stdout)
    assert about["records"] > 0
    with zipfile.ZipFile(first) as zip:
        assert (
            sum(len(zip.read(n).splitlines()) for n in zip.namelist() if n.endswith(".jsonl"))
            == about["records"]
        )
    checked = vigie.cli("seal", str(first), "--check", "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout) == about

    report(vigie)
    after = json.loads(vigie.cli("seal", str(second), "--since", str(first), "--json").stdout)
    assert 0 < after["records"] < about["records"], "only what came after the first"
    assert all(after["logs"][name][0] >= seq for name, (seq, _) in about["logs"].items())
    assert vigie.cli("seal", str(second), "--check").returncode == 0

    again = vigie.cli("seal", str(first))
    assert (again.returncode, "never written over" in again.stderr) == (1, True)


async def test_a_log_emptied_since_the_previous_seal_is_reported(tmp_path: Path) -> None:
    class Emptied:
        async def bounds(self, _topic: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
            return dict.fromkeys(partitions, (0, 0))

        async def read(self, _topic: str, _bounds: object) -> AsyncIterator[object]:
            return
            yield

    with zipfile.ZipFile(tmp_path / "seal.zip", "w") as zip:
        assert await archive_log(zip, cast("PartitionReader", Emptied()), "alerts", 0, None, 0) == (
            None,
            0,
        )
        with pytest.raises(
            SealRefused, match=r"alerts\.log/0 lacks the records of the previous seal"
        ):
            await archive_log(
                zip, cast("PartitionReader", Emptied()), "alerts", 0, (3, "0" * 32), 0
            )


def test_a_changed_archive_is_detected(vigie: RunningVigie, tmp_path: Path) -> None:
    report(vigie)
    file = tmp_path / "seal.zip"
    assert vigie.cli("seal", str(file)).returncode == 0
    broken = vigie.cli("seal", str(changed(file, tmp_path / "changed.zip")), "--check")
    assert broken.returncode == 1
    assert "the archive leads to record" in broken.stderr
    foreign = tmp_path / "foreign.zip"
    shutil.copy(file, foreign)
    with zipfile.ZipFile(file) as old:
        statement = json.loads(old.read("statement.json"))
    with zipfile.ZipFile(foreign, "w") as new, zipfile.ZipFile(file) as old:
        for name in old.namelist():
            new.writestr(
                name,
                json.dumps(statement | {"year": 1999})
                if name == "statement.json"
                else old.read(name),
            )
    refused = vigie.cli("seal", str(foreign), "--check")
    assert (refused.returncode, "not what was signed" in refused.stderr) == (1, True), (
        refused.stderr
    )


def test_a_point_de_situation_and_a_bundle_say_where_every_log_ended(vigie: RunningVigie) -> None:
    report(vigie)
    validated = vigie.http.post("/api/v1/sitreps", json={})
    assert validated.status_code == 200, validated.text
    answer = vigie.http.get("/api/v1/sitreps/latest")
    heads = answer.json()["heads"]
    assert (
        heads[
            "alerts.log/" + next(iter(n for n in heads if n.startswith("alerts"))).partition("/")[2]
        ][0]
        > 0
    )
    key = SigningKey.open(vigie.folder / "data" / "secrets")
    assert key.public.verify_signature(
        answer.content, bytes.fromhex(answer.headers["Vigie-Signature"])
    )
    assert not key.public.verify_signature(
        answer.content + b" ", bytes.fromhex(answer.headers["Vigie-Signature"])
    )


def test_a_statement_holds_for_the_key_that_made_it_alone(tmp_path: Path) -> None:
    mine, other = (
        SigningKey.open(_folder(tmp_path / "mine")),
        SigningKey.open(_folder(tmp_path / "other")),
    )
    raw = json.dumps(sign_statement(mine, 1_800_000_000_000, {"alerts.log/0": (3, "ab")})).encode()
    assert read_statement(raw, mine.public).logs == {"alerts.log/0": (3, "ab")}
    for wrong, says in (
        (raw.replace(b'"seq": 3', b'"seq": 4'), "not what was signed"),
        (raw.replace(FORMAT.encode(), b"vigie.other"), "format"),
        (b"[]", "no statement"),
        (raw[:40], "no statement"),
    ):
        with pytest.raises(HeadStatementInvalid, match=says):
            read_statement(wrong)
    with pytest.raises(HeadStatementInvalid, match="signed by"):
        read_statement(raw, other.public)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
