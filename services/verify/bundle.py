"""Verify an evidence bundle or a seal from its file alone (docs/reference/evidence-bundle.md).

The code is independent of the code that writes them. The archive of a seal must be one chain, from
the end of the seal before to the signed heads. A zip file is untrusted: its lines are bounded.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from services.runtime.log.heads import HeadStatement, HeadStatementInvalid, read_statement
from services.runtime.secrets.signing import PublicKey, SigningKeyInvalid

FORMAT: Final = "vigie.evidence.v1"
UNLISTED_ENTRIES: Final = frozenset(("manifest.json", "manifest.sig", "signing.pub"))
"""Entries that the manifest cannot name."""
MANIFEST_BYTES: Final = 16 << 20
LINE_BYTES: Final = 4 << 20
"""Longest line. A log record has at most 1 MB; a line of a timeline is far shorter."""
MALFORMED_ARCHIVE_ERRORS: Final = (
    BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""Errors that a malformed zip or its JSON may raise.

zipfile raises NotImplementedError for an unknown compression, RuntimeError for encryption or
endless nesting.
"""
STATEMENT: Final = "statement.json"
GENESIS: Final = "0" * 32


class SealUnreadable(ValueError):
    """Signal a file that is no seal of Vigie, or a truncated one."""


def verify_seal(file: Path, expected_key: PublicKey | None) -> tuple[HeadStatement, int, list[str]]:
    """Return (statement, number of records in the archive, breaches).

    Raises SealUnreadable and OSError.
    """
    try:
        with ZipFile(file) as zip:
            statement = read_statement(read_entry(zip, STATEMENT), expected_key)
            broken = [
                f"{name} is not part of the seal"
                for name in zip.namelist()
                if name != STATEMENT and name not in statement.about["files"]
            ]
            count = 0
            for log, (seq, head) in statement.logs.items():
                began = statement.about["before"].get(log, {"seq": 0, "head": GENESIS})
                archive_end, records = _follow_chain(
                    zip, log, began["seq"], began["head"], statement.about["files"]
                )
                count += records
                if archive_end != (seq, head):
                    broken.append(
                        f"{log}: the archive leads to record {archive_end[0]} ({archive_end[1]}), signed was {seq} ({head})"
                    )
    except HeadStatementInvalid as error:
        raise SealUnreadable(f"{file}: {error}") from error
    except MALFORMED_ARCHIVE_ERRORS as error:
        raise SealUnreadable(
            f"{file}: not the form of a seal ({type(error).__name__}: {error})"
        ) from error
    return statement, count, broken


def build_entry_name(log: str) -> str:
    """Return the archive entry of a log partition."""
    return f"{log.replace('/', '-')}.jsonl"


def _follow_chain(
    zip: ZipFile, log: str, seq: int, head: str, files: dict[str, str]
) -> tuple[tuple[int, str], int]:
    """Follow the chain of an archive from (seq, head) and return (its end, number of records).

    A record that does not continue the chain ends it.
    """
    name, whole, records = build_entry_name(log), sha256(), 0
    for line in read_lines(zip, name):
        whole.update(line + b"\n")
        record = json.loads(line)
        if (record["seq"], record["prev"]) != (seq + 1, head):
            return (seq, head), records
        seq, head, records = seq + 1, blake2b(line, digest_size=16).hexdigest(), records + 1
    return (
        (seq, head) if whole.hexdigest() == files[name] else (-1, "the file was changed")
    ), records


def read_lines(zip: ZipFile, name: str) -> Iterator[bytes]:
    """Yield the lines of an entry without line ends.

    Raises ValueError for a line longer than LINE_BYTES, and the errors in NOT_OF_THE_FORM.
    """
    with zip.open(name) as entry:
        while raw := entry.readline(LINE_BYTES + 1):
            if len(raw) > LINE_BYTES:
                raise ValueError(f"{name}: a line is longer than {LINE_BYTES} bytes")
            yield raw.rstrip(b"\n")


def read_entry(zip: ZipFile, name: str) -> bytes:
    """Return a small entry of a zip. Raises ValueError for one larger than MANIFEST_BYTES."""
    with zip.open(name) as entry:
        content = entry.read(MANIFEST_BYTES + 1)
    if len(content) > MANIFEST_BYTES:
        raise ValueError(f"{name} is larger than {MANIFEST_BYTES} bytes")
    return content


def hash_entry(zip: ZipFile, name: str) -> str:
    """Return the SHA-256 of an entry of any size, in hexadecimal."""
    hash = sha256()
    with zip.open(name) as entry:
        while block := entry.read(1 << 20):
            hash.update(block)
    return hash.hexdigest()


class BundleUnreadable(ValueError):
    """Signal a file that is no zip of this format, or a truncated one."""


@dataclass(slots=True)
class BundleVerdict:
    """Result of a verification; `broken` is empty if every promise holds.

    `key` is the fingerprint of the signing key, for a person to compare.
    """

    key: str = ""
    known_key: bool | None = None
    """True if the key given for comparison signed the bundle; None without such a key."""
    counts: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)

    def breach(self, law: str, what: str) -> None:
        self.broken.append((law, what))


def verify_bundle(file: Path, expected_key: PublicKey | None) -> BundleVerdict:
    """Verify signature, hashes and chain, and compare timeline and situation reports with the log.

    For a bundle too damaged to read completely, returns the breaches found so far. Raises
    BundleUnreadable and OSError.
    """
    verdict = BundleVerdict()
    try:
        with ZipFile(file) as zip:
            manifest = _read_manifest(zip, expected_key, verdict)
            _check_files(zip, manifest, verdict)
            facts = {
                service: _check_chain(zip, service, about, verdict)
                for service, about in manifest["logs"].items()
            }
            _check_timeline(zip, manifest, facts, verdict)
            sitreps = _list_sitrep_hashes(facts.get("continuity", {}))
            _check_documents(zip, "sitreps", "ps-", sitreps, verdict)
            handovers = _list_handover_hashes(facts.get("alerts", {}))
            _check_documents(zip, "handovers", "releve-", handovers, verdict)
    except BundleUnreadable:
        raise
    except MALFORMED_ARCHIVE_ERRORS as error:
        what = f"not the form of a bundle ({type(error).__name__}: {error})"
        if not verdict.broken:
            raise BundleUnreadable(f"{file}: {what}") from error
        verdict.breach(
            "form", what
        )  # The changed file is named already; data after it cannot be read.
    return verdict


def _read_manifest(
    zip: ZipFile, expected_key: PublicKey | None, verdict: BundleVerdict
) -> dict[str, Any]:
    raw = read_entry(zip, "manifest.json")
    manifest: dict[str, Any] = json.loads(raw)
    if manifest.get("format") != FORMAT:
        raise BundleUnreadable(f"format {manifest.get('format')!r}, this program knows {FORMAT}")
    try:
        key = PublicKey.load(read_entry(zip, "signing.pub"))
    except SigningKeyInvalid as error:
        raise BundleUnreadable(f"signing.pub: {error}") from error
    verdict.key = key.fingerprint
    if not key.verify_signature(raw, read_entry(zip, "manifest.sig")):
        verdict.breach("signature", "manifest.sig is no signature of manifest.json by signing.pub")
    if expected_key is not None:
        verdict.known_key = expected_key.fingerprint == key.fingerprint
        if not verdict.known_key:
            verdict.breach(
                "signature",
                f"signed by {key.fingerprint}, not by the key {expected_key.fingerprint} that was given",
            )
    return manifest


def _check_files(zip: ZipFile, manifest: dict[str, Any], verdict: BundleVerdict) -> None:
    names = zip.namelist()
    verdict.counts["files"] = len(names)
    for name in sorted(set(names) - UNLISTED_ENTRIES - set(manifest["files"])):
        verdict.breach("files", f"{name} is not in the manifest")
    counts = Counter(names)
    for name in sorted(name for name, count in counts.items() if count > 1):
        verdict.breach("files", f"{name} is there twice")
    for name, file_entry in manifest["files"].items():
        if name not in counts:
            verdict.breach("files", f"{name} is missing")
            continue
        if (hash := hash_entry(zip, name)) != file_entry["sha256"]:
            verdict.breach(
                "files",
                f"{name} was changed: SHA-256 {hash}, the manifest says {file_entry['sha256']}",
            )


FactsByPosition = dict[tuple[int, int], dict[str, Any]]
"""(sequence number, ordinal) → fact."""


def _check_chain(
    zip: ZipFile, service: str, about: dict[str, Any], verdict: BundleVerdict
) -> FactsByPosition:
    facts: FactsByPosition = {}
    expected = about["first"] and about["first"]["prev"]
    seq = about["first"]["seq"] if about["first"] else 0
    count = 0
    for raw in read_lines(zip, f"log/{service}.jsonl"):
        record, count = json.loads(raw), count + 1
        where = f"{service}, record {record.get('seq')}"
        if record.get("seq") != seq:
            verdict.breach("chain", f"{where}: {seq} was expected")
        if record.get("withheld"):
            expected, seq = record["hash"], record["seq"] + 1
            continue
        if record["prev"] != expected:
            verdict.breach(
                "chain", f"{where}: prev {record['prev']}, the record before hashes to {expected}"
            )
        expected, seq = blake2b(raw, digest_size=16).hexdigest(), record["seq"] + 1
        for ordinal, fact in enumerate(record["facts"]):
            facts[record["seq"], ordinal] = fact
    if count != about["records"]:
        verdict.breach("chain", f"{service}: {count} records, the manifest says {about['records']}")
    if about["last"] and expected != about["last"]["hash"]:
        verdict.breach(
            "chain",
            f"{service}: the last record hashes to {expected}, the manifest says {about['last']['hash']}",
        )
    verdict.counts[f"{service}_records"] = count
    return facts


def _check_timeline(
    zip: ZipFile,
    manifest: dict[str, Any],
    facts: dict[str, FactsByPosition],
    verdict: BundleVerdict,
) -> None:
    """Check that every line within the exported stretch of its log stands for a fact there.

    Lines before or after it rest on other records; they are only counted.
    """
    for raw in read_lines(zip, "timeline.jsonl"):
        line = json.loads(raw)
        verdict.counts["lines"] = verdict.counts.get("lines", 0) + 1
        service, _partition, seq, ordinal = line["place"].split("/")
        about = manifest["logs"][service]
        if about["first"] is None or not about["first"]["seq"] <= int(seq) <= about["last"]["seq"]:
            verdict.counts["lines_outside"] = verdict.counts.get("lines_outside", 0) + 1
            continue
        fact = facts[service].get((int(seq), int(ordinal)))
        if fact is None or line["id"] not in (fact["id"], fact["data"].get("line")):
            verdict.breach(
                "timeline",
                f"line {line['id']} names {line['place']}, where the log says something else",
            )


def _check_documents(
    zip: ZipFile,
    folder: str,
    head: str,
    hashes_by_number: Mapping[int, set[str]],
    verdict: BundleVerdict,
) -> None:
    """Compare each frozen document of a folder with the hashes that the log has for its number."""
    for name in zip.namelist():
        if not name.startswith(f"{folder}/{head}") or not name.endswith(".json"):
            continue
        verdict.counts[folder] = verdict.counts.get(folder, 0) + 1
        number = int(name.removeprefix(f"{folder}/{head}").removesuffix(".json"))
        hash = hash_entry(zip, name)
        if number in hashes_by_number and hash not in hashes_by_number[number]:
            log_hashes = ", ".join(sorted(hashes_by_number[number]))
            verdict.breach(folder, f"{name} hashes to {hash}, the log says {log_hashes}")


def _list_sitrep_hashes(facts: FactsByPosition) -> dict[int, set[str]]:
    rows = (f["data"]["row"] for f in facts.values() if "SitrepIssued" in f["type"])
    return {row["number"]: {row["sha256"]} for row in rows}


def _list_handover_hashes(facts: FactsByPosition) -> dict[int, set[str]]:
    """Return the hashes of the signed pages by number; a revision makes another one."""
    hashes_by_number: dict[int, set[str]] = {}
    rows = (f["data"]["row"] for f in facts.values() if "HandoverChanged" in f["type"])
    for row in rows:
        if row.get("page") is not None:
            hashes_by_number.setdefault(row["number"], set()).add(row["page"]["sha256"])
    return hashes_by_number
