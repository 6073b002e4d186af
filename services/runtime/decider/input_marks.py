"""Marks on inputs: an HMAC that only a process with the installation's key can make.

The password of the broker lets any program write to an input topic. The mark proves that a process
of this installation wrote the record, for this topic, with this key, content and headers. A worker
checks it before it decides; `decide` and every fold of a log never see it. See
`docs/adr/0052-authenticate-inputs-with-a-mac.md`.
"""

from __future__ import annotations

import hmac
import struct
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from schemas.base import DAY_MS, Instant
from schemas.realms import is_live
from schemas.wire import envelope as ce
from services.runtime.decider.applied_ids import RETENTION_MS
from services.runtime.decider.inputs import Headers, InputRecord, Refusal
from services.runtime.secrets.keyring import (
    INPUTS_SINCE_FILE,
    MasterKey,
    MasterKeyInvalid,
    write_private,
)

KEY_PURPOSE: Final = "inputs"
REFUSAL_CODE: Final = "unsigned"
"""Code of `InputRefused` for an input with a missing, wrong or old mark."""
UNMARKED_GRACE_MS: Final = 10 * 60 * 1000
"""Time after its first start for which a version with marks accepts inputs without one.

Processes of the version before may still append while they are replaced.
"""
MAX_INPUT_AGE_MS: Final = RETENTION_MS - DAY_MS
"""Greatest age of an input. The id of a later copy may already be forgotten."""
_DIGITS: Final = 15
"""Most digits of a time in milliseconds."""
_MARK_MISSING: Final = Refusal(REFUSAL_CODE, "the record bears no mark of this installation")
_MARK_WRONG: Final = Refusal(
    REFUSAL_CODE, "the mark of the record is not of this installation, or its content was changed"
)
_MARK_OLD: Final = Refusal(
    REFUSAL_CODE, f"the record was made more than {MAX_INPUT_AGE_MS // DAY_MS} days before it came"
)


class InputsSinceInvalid(MasterKeyInvalid):
    """`secrets/inputs.since` holds no time.

    Every process that reads or writes inputs stops with this sentence.
    """


class InputMarks:
    """Maker and checker of marks. Safe for several threads."""

    def __init__(self, master: MasterKey, since: Instant = 0) -> None:
        """Create marks with a key; records that were appended before `since` need none."""
        self._key = master.derived(KEY_PURPOSE)
        self._since = since

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the marks of this installation. Raises OSError, MasterKeyInvalid."""
        master = MasterKey.open(secrets)
        return cls(master, _read_start_time(secrets))

    def sign(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers
    ) -> list[tuple[str, bytes]]:
        """Return the headers with their mark; it replaces any other."""
        other_headers = [(name, content or b"") for name, content in headers if name != ce.MARK]
        return [*other_headers, (ce.MARK, self._mark(topic, key, value, other_headers))]

    def proves(self, record: Any) -> bool:
        """Return whether this installation wrote a record, or it is older than all marks."""
        return self._doubt(record) is None

    def find_fault(self, record: InputRecord) -> Refusal | None:
        """Return the reason to refuse a record; None for a fresh record of this installation.

        A forwarded fact may be old: its place shows whether it was applied before. Exercise realms
        forget no id, so their inputs may be old, too.
        """
        if (doubt := self._doubt(record)) is not None:
            return doubt
        headers = dict(record.headers)
        if (
            ce.MARK not in headers
            or ce.CE_PLACE in headers
            or not is_live((record.key or b"").decode())
        ):
            return None
        return _MARK_OLD if _is_old(headers.get(ce.CE_TIME), record.timestamp) else None

    def _doubt(self, record: Any) -> Refusal | None:
        """Return the fault of a record's mark, or None.

        The mark is the last header. A valid mark never covers a header that is itself a mark.
        """
        headers = record.headers
        if not headers or headers[-1][0] != ce.MARK:
            bears_one = any(name == ce.MARK for name, _ in headers)
            return (
                _MARK_WRONG
                if bears_one
                else None
                if record.timestamp < self._since
                else _MARK_MISSING
            )
        right = self._mark(record.topic, record.key, record.value, headers[:-1])
        return None if hmac.compare_digest(headers[-1][1] or b"", right) else _MARK_WRONG

    def _mark(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
        parts = [topic.encode(), key, value]
        for name, content in headers:
            parts += (name.encode(), content)
        # hmac.digest would release the GIL, and wait for a busy thread to get it back
        return hmac.new(self._key, _join_parts(parts), "sha256").hexdigest().encode()


def _join_parts(parts: Sequence[bytes | None]) -> bytes:
    """Return one byte string: the number of parts, each length (−1 for None), then the parts."""
    lengths = [-1 if part is None else len(part) for part in parts]
    return struct.pack(f">{len(parts) + 1}i", len(parts), *lengths) + b"".join(
        [part or b"" for part in parts]
    )


def _is_old(made: bytes | None, appended: Instant) -> bool:
    """Return whether an input was made long before it was appended.

    A tick has no such time, and applying it again has no effect.
    """
    if made is None:
        return False
    return appended - datetime.fromisoformat(made.decode()).timestamp() * 1000 > MAX_INPUT_AGE_MS


def _read_start_time(secrets: Path) -> Instant:
    """Return the moment when inputs begin to need a mark; note it where none is noted yet.

    Raises OSError, InputsSinceInvalid.
    """
    path = secrets / INPUTS_SINCE_FILE
    if not path.exists():
        write_private(path, b"%d" % (time.time_ns() // 1_000_000 + UNMARKED_GRACE_MS))
    text = path.read_bytes().strip()
    if not text.isdigit() or len(text) > _DIGITS:
        raise InputsSinceInvalid(
            f"{path} is damaged: it holds a time in milliseconds, alone. Put it back from a backup, or write 0 "
            f"into it (`echo 0 > {path}`): then every input needs the mark of this installation"
        )
    return int(text)
