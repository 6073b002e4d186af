"""Remember when the last backup of an installation was completed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ValidationError

from services.runtime.process.atomic_file import open_atomic_file

log = structlog.get_logger(__name__)


class LastBackup(BaseModel):
    """The last backup that was completed."""

    taken_at: AwareDatetime


def write_last_backup(file: Path, taken_at: datetime) -> None:
    """Record a completed backup; a record that cannot be written is only logged."""
    try:
        with open_atomic_file(file, 0o600) as target:
            target.write(LastBackup(taken_at=taken_at).model_dump_json().encode())
    except OSError as error:
        log.warning("backup.unrecorded", file=str(file), error=error.strerror)


def read_last_backup(file: Path) -> datetime | None:
    """Return when the last backup was completed; None without a record that can be read."""
    try:
        return LastBackup.model_validate_json(file.read_bytes()).taken_at
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("backup.record_unreadable", error=type(error).__name__)
        return None
