"""Files of operators and foreign records are read, or refused by one error with their name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from schemas.topics import PARTITION_COUNT, input_topic, partition_of
from services.console.directory.contact_file import DirectoryInvalid, read_contacts
from services.runtime.decider.inputs import Envelope, InputRecord, parse_message, read_envelope
from services.runtime.log.heads import sign_statement
from services.runtime.process.settings import REPOSITORY
from services.runtime.secrets.signing import SigningKey
from services.simulation.replay import ChangeInvalid, apply_patch, read_patch
from services.verify.bundle import (
    LINE_BYTES,
    STATEMENT,
    BundleUnreadable,
    SealUnreadable,
    build_entry_name,
    verify_bundle,
    verify_seal,
)
from tests.shipped import territory
from tests.unit.verify.test_bundle import made

ODD = (
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "\x00",
    "’" * 3000,
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
    "2026-02-30T25:61:00",
    "../../etc/passwd",
)
ROUNDS = 400


def spoilt(random: Random, body: bytes) -> bytes:
    """Cut, doubled, or with other bytes somewhere."""
    at = random.randrange(len(body) + 1)
    match random.randrange(4):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[random.randrange(len(body)) :]
        case 2:
            return body[:at] + random.randbytes(random.randint(1, 8)) + body[at:]
        case _:
            return (
                body[:at]
                + random.choice(
                    (b"\x00", b'"', b"\n", b"{", b"&a [*a,*a]", b",,,", "é".encode("latin-1"))
                )
                + body[at + 1 :]
            )


def altered(random: Random, value: Any) -> Any:
    """Return a document with one part replaced."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        name = random.choice(list(value))
        remaining_fields = {k: v for k, v in value.items() if k != name or random.random() < 0.8}
        return (
            remaining_fields | {name: altered(random, value[name])}
            if name in remaining_fields
            else remaining_fields
        )
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [altered(random, v) if n == at else v for n, v in enumerate(value)]
    return random.choice(ODD)


def refusal(call: Callable[[], object], *errors: type[Exception]) -> str | None:
    """Return the text of the refusal; None if it was read. Other errors fail the test."""
    try:
        call()
    except errors as error:
        return str(error)
    return None


def repacked(random: Random, source: Path, target: Path) -> Path:
    with ZipFile(source) as whole, ZipFile(target, "w", ZIP_DEFLATED) as changed:
        for name in whole.namelist():
            body = whole.read(name)
            if name.endswith(".json") and random.random() < 0.5:
                body = json.dumps(altered(random, json.loads(body))).encode()
            elif name.endswith(".jsonl") and random.random() < 0.5:
                body = b"\n".join(
                    json.dumps(altered(random, json.loads(line))).encode()
                    for line in body.splitlines()
                )
            elif random.random() < 0.1:
                body = spoilt(random, body)
            if random.random() < 0.97:
                changed.writestr(name, body)
    return target


def test_a_bundle_of_any_form_is_judged_or_refused(tmp_path: Path) -> None:
    sound = made(tmp_path / "sound.zip", SigningKey.open(tmp_path / "secrets"))
    random, refusals = Random(20261125), []
    for _ in range(ROUNDS):
        file = tmp_path / "forged.zip"
        if random.random() < 0.7:
            repacked(random, sound, file)
        else:
            file.write_bytes(spoilt(random, sound.read_bytes()))
        refusals.append(
            refusal(lambda: verify_bundle(tmp_path / "forged.zip", None), BundleUnreadable, OSError)
        )
    assert "" not in refusals
    assert 20 < refusals.count(None) < ROUNDS - 50


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path: Path) -> None:
    sound = made(tmp_path / "sound.zip", SigningKey.open(tmp_path / "secrets"))
    with ZipFile(sound) as whole, ZipFile(tmp_path / "bomb.zip", "w", ZIP_DEFLATED) as bomb:
        for name in whole.namelist():
            bomb.writestr(
                name, b" " * (LINE_BYTES * 8) if name == "log/alerts.jsonl" else whole.read(name)
            )
    broken = dict(verify_bundle(tmp_path / "bomb.zip", None).broken)
    assert broken["files"].startswith("log/alerts.jsonl was changed")
    assert "longer than" in broken["form"]


def sealed(file: Path, key: SigningKey) -> Path:
    """Seal one log of three records."""
    head, records = "0" * 32, []
    for seq in range(1, 4):
        records.append(json.dumps({"seq": seq, "prev": head, "facts": []}).encode())
        head = blake2b(records[-1], digest_size=16).hexdigest()
    body, name = b"".join(r + b"\n" for r in records), build_entry_name("alerts.log/0")
    statement = sign_statement(
        key, 0, {"alerts.log/0": (3, head)}, before={}, files={name: sha256(body).hexdigest()}
    )
    with ZipFile(file, "w", ZIP_DEFLATED) as zip:
        zip.writestr(name, body)
        zip.writestr(STATEMENT, json.dumps(statement))
    return file


def test_a_seal_of_any_form_is_judged_or_refused(tmp_path: Path) -> None:
    key = SigningKey.open(tmp_path / "secrets")
    sound = sealed(tmp_path / "sound.zip", key)
    assert verify_seal(sound, key.public)[1:] == (3, [])
    random, refusals = Random(20261126), []
    for n in range(ROUNDS):
        file = tmp_path / "forged.zip"
        if n % 2:
            repacked(random, sound, file)
        else:
            file.write_bytes(spoilt(random, sound.read_bytes()))
        refusals.append(
            refusal(lambda: verify_seal(tmp_path / "forged.zip", None), SealUnreadable, OSError)
        )
    assert "" not in refusals
    assert 20 < refusals.count(None) < ROUNDS - 50


DIRECTORY = """person,name,language,channel,address,verified_at,site,quiet
dir-sol,Une Personne,fr,sms,+33600000000,2026-11-02,cen-1,21:00-07:00
dir-sol,,,email,dir-sol@example.org,2026-11-02T10:00:00+01:00,,
ast-technique,Une Autre,en,voice,+33600000001,,,
"""


def test_a_directory_of_any_bytes_is_read_or_refused() -> None:
    random = Random(20261125)
    texts = [spoilt(random, DIRECTORY.encode()).decode("utf-8", "replace") for _ in range(ROUNDS)]
    refusals = [
        refusal(partial(read_contacts, text.splitlines()), DirectoryInvalid) for text in texts
    ]
    assert all("ligne" in word for word in refusals if word is not None)
    assert 20 < refusals.count(None) < ROUNDS - 50


@pytest.fixture(scope="module")
def sections() -> Any:
    return territory().sections


PATCH = """policy:
  ladders:
    N3: {waves: [{apres_min: 5}]}
plans:
  plans: {PT-ELEC: null}
"""


def test_a_patch_of_any_bytes_fits_or_is_refused(tmp_path: Path, sections: Any) -> None:
    random, refusals = Random(20261125), []
    file = tmp_path / "patch.yaml"
    for _ in range(ROUNDS // 4):
        file.write_bytes(spoilt(random, PATCH.encode()))
        refusals.append(refusal(lambda: apply_patch(sections, read_patch(file)), ChangeInvalid))
    assert "" not in refusals
    assert refusals.count(None) < ROUNDS // 4 - 10
    for text, says in (
        ("{a: " * 3000, "nested too deeply"),
        ("{" + ", ".join(f"k{n}: 1" for n in range(6000)) + "}", "give a whole folder"),
    ):
        file.write_text(f"escalation: {text}", encoding="utf-8")
        with pytest.raises(ChangeInvalid, match=says):
            read_patch(file)


def records(random: Random) -> Iterator[InputRecord]:
    """Return records that a foreign program might write to `alerts.inputs`."""
    golden = json.loads(
        (REPOSITORY / "schemas" / "golden" / "vigie.AcknowledgeIncident.v1.json").read_text()
    )
    headers = {
        "ce_id": b"1",
        "ce_type": b"vigie.AcknowledgeIncident.v1",
        "ce_source": b"/x",
        "ce_correlationid": b"1",
        "ce_at": b"1800000000000",
    }
    for _ in range(ROUNDS * 5):
        record_headers = [
            (k, spoilt(random, v) if random.random() < 0.3 else v)
            for k, v in headers.items()
            if random.random() < 0.9
        ]
        record_headers += [
            (
                random.choice(("ce_place", "ce_placehash", "ce_at", "traceparent")),
                random.randbytes(random.randint(0, 40)),
            )
        ]
        value = random.choice(
            (
                None,
                b"",
                json.dumps(altered(random, golden)).encode(),
                spoilt(random, json.dumps(golden).encode()),
                b"[" * 5000,
            )
        )
        key = random.choice(
            (b"92", b"92", b"92~ex-7", None, b"", random.randbytes(6), b"92" * 5000)
        )
        yield InputRecord(
            input_topic("alerts"),
            partition_of("92", PARTITION_COUNT),
            1,
            key,
            value,
            tuple(record_headers),
            1_800_000_000_000,
        )


def test_a_record_of_a_stranger_is_a_message_or_a_reason() -> None:
    reasons = 0
    for record in records(Random(20261125)):
        envelope = read_envelope(record, PARTITION_COUNT)
        assert isinstance(envelope, Envelope)
        if envelope.fault is not None:
            reasons += 1
        else:
            parse_message(envelope.type, record.value)
    assert reasons > ROUNDS
