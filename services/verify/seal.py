"""Verify a seal with code that is independent of the code that seals.

The archive must be one chain, from the end of the seal before to the signed heads.
"""

from __future__ import annotations

import json
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from services.runtime.log.heads import HeadStatement, HeadStatementInvalid, read_statement
from services.runtime.secrets.signing import PublicKey
from services.verify.archive import MALFORMED_ARCHIVE_ERRORS, read_lines

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
            statement = read_statement(zip.read(STATEMENT), expected_key)
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


def entry_name(log: str) -> str:
    """Return the archive entry of a log partition."""
    return f"{log.replace('/', '-')}.jsonl"


def _follow_chain(
    zip: ZipFile, log: str, seq: int, head: str, files: dict[str, str]
) -> tuple[tuple[int, str], int]:
    """Follow the chain of an archive from (seq, head) and return (its end, number of records).

    A record that does not continue the chain ends it.
    """
    name, whole, records = entry_name(log), sha256(), 0
    for line in read_lines(zip, name):
        whole.update(line + b"\n")
        record = json.loads(line)
        if (record["seq"], record["prev"]) != (seq + 1, head):
            return (seq, head), records
        seq, head, records = seq + 1, blake2b(line, digest_size=16).hexdigest(), records + 1
    return (
        (seq, head) if whole.hexdigest() == files[name] else (-1, "the file was changed")
    ), records
