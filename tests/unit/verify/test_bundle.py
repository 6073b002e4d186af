"""An evidence bundle proves itself; each kind of tampering is found by its own law."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import orjson
import pytest

from services.console.evidence.bundle import Bundle
from services.runtime.log.transaction import GENESIS, compute_digest
from services.runtime.secrets.signing import PublicKey, SigningKey, SigningKeyInvalid
from services.verify.bundle import BundleUnreadable, verify_bundle


def record(seq: int, prev: str, *facts: dict[str, Any]) -> bytes:
    return orjson.dumps({"seq": seq, "prev": prev, "realm": "92", "facts": list(facts)})


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.open(tmp_path / "secrets")


def chain() -> list[bytes]:
    """Build four records; the third belongs to another realm and is withheld."""
    one = record(7, GENESIS, {"type": "vigie.NoteAdded.v1", "id": "f-1", "data": {"line": "l-1"}})
    two = record(
        8, compute_digest(one), {"type": "vigie.IncidentChanged.v1", "id": "f-2", "data": {}}
    )
    foreign = record(9, compute_digest(two))
    four = record(
        10, compute_digest(foreign), {"type": "vigie.LevelChanged.v1", "id": "f-4", "data": {}}
    )
    return [
        one,
        two,
        orjson.dumps({"withheld": True, "seq": 9, "hash": compute_digest(foreign)}),
        four,
    ]


def made(path: Path, key: SigningKey, lines: list[bytes] | None = None) -> Path:
    """Build a bundle of these log lines and three lines of the timeline."""
    lines = chain() if lines is None else lines
    bundle = Bundle()
    bundle.add("log/alerts.jsonl", b"".join(line + b"\n" for line in lines))
    places = [("l-1", 7), ("f-2", 8), ("f-4", 10), ("older", 3)]
    bundle.add_lines(
        "timeline.jsonl", [{"id": id, "place": f"alerts/0/{seq}/0"} for id, seq in places]
    )
    true = chain()
    about = {
        "logs": {
            "alerts": {
                "records": 4,
                "first": {"seq": 7, "prev": GENESIS},
                "last": {"seq": 10, "hash": compute_digest(true[-1])},
            }
        }
    }
    path.write_bytes(bundle.drain() + bundle.finish(about, key))
    return path


def laws(path: Path, key: SigningKey | None = None) -> set[str]:
    return {law for law, _ in verify_bundle(path, key.public if key else None).broken}


def test_an_untouched_bundle_holds_by_its_own_key_and_by_the_known_one(
    tmp_path: Path, key: SigningKey
) -> None:
    verdict = verify_bundle(made(tmp_path / "b.zip", key), None)
    assert verdict.broken == []
    assert (verdict.key, verdict.known_key) == (key.public.fingerprint, None)
    assert (
        verdict.counts["alerts_records"],
        verdict.counts["lines"],
        verdict.counts["lines_outside"],
    ) == (4, 4, 1)
    assert verify_bundle(tmp_path / "b.zip", key.public).known_key is True
    other = SigningKey.open(tmp_path / "elsewhere")
    assert laws(tmp_path / "b.zip", other) == {"signature"}


def rewritten(
    source: Path,
    target: Path,
    change: Callable[[str, bytes], bytes | None],
    more: dict[str, bytes] | None = None,
) -> Path:
    """Return the zip with changed, removed (None) or added entries and the old signature."""
    with ZipFile(source) as before, ZipFile(target, "w") as after:
        for name in before.namelist():
            if (content := change(name, before.read(name))) is not None:
                after.writestr(name, content)
        for name, content in (more or {}).items():
            after.writestr(name, content)
    return target


def test_a_changed_a_missing_and_an_added_file_are_found(tmp_path: Path, key: SigningKey) -> None:
    whole = made(tmp_path / "b.zip", key)
    one = rewritten(
        whole,
        tmp_path / "1.zip",
        lambda n, c: c.replace(b"f-4", b"f-5") if n == "timeline.jsonl" else c,
    )
    assert laws(one) == {"files", "timeline"}
    two = rewritten(whole, tmp_path / "2.zip", lambda _, c: c, {"extra.txt": b"x"})
    assert laws(two) == {"files"}
    three = rewritten(
        whole,
        tmp_path / "3.zip",
        lambda n, c: c.replace(b'"records": 4', b'"records": 5') if n == "manifest.json" else c,
    )
    assert laws(three) == {"signature", "chain"}
    with pytest.raises(BundleUnreadable):
        verify_bundle(
            rewritten(whole, tmp_path / "4.zip", lambda n, c: None if n == "manifest.sig" else c),
            None,
        )


def _replaced(name: str, by: bytes | None, entry: str, content: bytes) -> bytes | None:
    return by if entry == name else content


@pytest.mark.parametrize("name", ["timeline.jsonl", "log/alerts.jsonl"])
def test_a_file_that_is_gone_or_no_json_any_more_is_named(
    tmp_path: Path, key: SigningKey, name: str
) -> None:
    """An error must name the file, not only that something is unreadable."""
    whole = made(tmp_path / "b.zip", key)
    for content in (None, b"{", b"[]"):
        verdict = verify_bundle(
            rewritten(whole, tmp_path / "damaged.zip", partial(_replaced, name, content)), None
        )
        assert any(law == "files" and name in what for law, what in verdict.broken)


@pytest.mark.parametrize("n", [0, 3])
def test_even_the_owner_of_the_key_cannot_rewrite_a_record(
    tmp_path: Path, key: SigningKey, n: int
) -> None:
    """With a new signature and true hashes, the chain still fails.

    Only the signature covers records before a withheld one.
    """
    lines = chain()
    forged = json.loads(lines[n])
    forged["facts"][0]["data"]["forged"] = True
    lines[n] = orjson.dumps(forged)
    assert laws(made(tmp_path / "b.zip", key, lines)) == {"chain"}


def test_a_record_that_was_left_out_is_found(tmp_path: Path, key: SigningKey) -> None:
    lines = chain()
    del lines[1]
    assert "chain" in laws(made(tmp_path / "b.zip", key, lines))


def test_a_bundle_that_broke_off_is_no_bundle(tmp_path: Path, key: SigningKey) -> None:
    whole = made(tmp_path / "b.zip", key).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.zip").write_bytes(whole[:cut])
        with pytest.raises(BundleUnreadable):
            verify_bundle(tmp_path / "cut.zip", None)


def test_a_document_that_unpacks_to_any_size_is_not_read_into_memory(
    tmp_path: Path, key: SigningKey
) -> None:
    path = made(tmp_path / "b.zip", key)
    with ZipFile(path, "a", ZIP_DEFLATED) as zip:
        zip.writestr("sitreps/ps-1.json", b" " * (128 << 20))
    tracemalloc.start()
    try:
        assert "files" in laws(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first, again = SigningKey.open(tmp_path), SigningKey.open(tmp_path)
    assert first.public.fingerprint == again.public.fingerprint
    assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
    assert PublicKey.load((tmp_path / "signing.pub").read_bytes()).verify_signature(
        b"x", again.sign(b"x")
    )
    (tmp_path / "signing.key").write_bytes(b"nonsense")
    with pytest.raises(SigningKeyInvalid):
        SigningKey.open(tmp_path)
