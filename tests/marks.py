"""The marks of a test's installation, for tests that write inputs without a door."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.runtime.decider.inputs import InputMarks
from services.runtime.secrets.keyring import KEY_BYTES, MasterKey, write_private

_KEY: Final = b"t" * KEY_BYTES
MARKS: Final = InputMarks(MasterKey(_KEY))


def put_key(secrets: Path) -> InputMarks:
    """Give an installation the key of `MARKS` before anything else makes one; return its marks."""
    write_private(secrets / "inputs.since", b"0")
    write_private(secrets / "master.key", _KEY)
    return InputMarks.open(secrets)
