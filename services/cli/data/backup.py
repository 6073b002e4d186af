"""`vigie backup` and `vigie restore`: one encrypted file with all irreplaceable data."""

import asyncio
import os
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError

from services.appliance.supervisor.alone import NoBroker, run_broker
from services.cli.client import print_error
from services.cli.output import print_json, show_progress
from services.runtime.backup.backup import BackupRefused, CompletedBackup, TooBusy, back_up
from services.runtime.backup.contents import VerifiedEnd
from services.runtime.backup.restore import (
    CompletedRestore,
    RestoreRefused,
    check_restore,
    verify_backup,
)
from services.runtime.backup.restore import restore as put_back
from services.runtime.backup.sealed_file import SealedInvalid, SecretTooShort
from services.runtime.kafka.topics import BrokerUnreachable, TopicsDiffer
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import MasterKeyInvalid
from services.runtime.secrets.signing import SigningKeyInvalid

VARIABLE = "VIGIE_BACKUP_KEY"
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help=f"File with the passphrase (12 characters at least) [{VARIABLE}]",
        exists=True,
        dir_okay=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document")]
_GROWTH: Final = 3
"""Room that a restore asks for, as a multiple of its file: the broker packs records less well."""
_LABELS: Final = {
    "file": "fichier",
    "taken_at": "sauvegarde du",
    "records": "enregistrements",
    "bytes": "octets",
    "seconds": "secondes",
    "signed_by": "signée par",
    "data": "données",
    "files": "fichiers",
    "rebased": "journaux repris",
}
_FAILURES = (
    BackupRefused,
    RestoreRefused,
    SealedInvalid,
    SecretTooShort,
    TooBusy,
    NoBroker,
    BrokerUnreachable,
    TopicsDiffer,
    KafkaError,
    Stop,
    MasterKeyInvalid,
    SigningKeyInvalid,
    OSError,
    sqlite3.Error,
)


def _read_passphrase(key: Path | None) -> bytes:
    """Read the passphrase from the file or the environment.

    Exits without one.
    """
    text = key.read_bytes() if key is not None else os.environ.get(VARIABLE, "").encode()
    if not (secret := text.strip()):
        raise typer.BadParameter(f"une sauvegarde exige une clé : --key FICHIER, ou {VARIABLE}")
    return secret


def _print_refusal(file: Path, error: Exception) -> typer.Exit:
    if isinstance(error, SealedInvalid):
        return print_error(f"{file} : {error}")
    if (
        isinstance(error, OSError) and error.filename is None and error.strerror
    ):  # A failed write names no file.
        return print_error(f"{file} : {error.strerror}")
    return print_error(error)


def backup(
    file: Annotated[
        Path,
        typer.Argument(help="File to write; it appears only when it is complete", dir_okay=False),
    ],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Back up this installation, running or not, to one encrypted and signed file.

    It holds logs, inputs, private stores and keys.
    """
    settings, secret = Settings(), _read_passphrase(key)

    async def run() -> CompletedBackup:
        async with run_broker(settings) as broker_settings:
            return await back_up(broker_settings, file, secret)

    began = time.monotonic()
    if not settings.data.secrets.is_dir():
        raise print_error(f"{settings.data_dir} ne contient pas d’installation de Vigie")
    try:
        with show_progress("Sauvegarde …"):
            archive = asyncio.run(run())
    except _FAILURES as error:
        raise _print_refusal(file, error) from error
    _print_summary(
        _summarise_backup(file, archive.manifest)
        | {"bytes": archive.bytes, "seconds": round(time.monotonic() - began, 1)},
        as_json,
    )


def restore(
    file: Annotated[
        Path, typer.Argument(help="File that `vigie backup` wrote", exists=True, dir_okay=False)
    ],
    key: Key = None,
    data: Annotated[Path | None, typer.Option(help="Empty data directory [VIGIE_DATA_DIR]")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the whole file and restore nothing")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup onto an empty installation, then run `vigie up`; or --check the file.

    --check proves that the file is complete and names the key that signed it.
    """
    settings = Settings() if data is None else Settings(data_dir=data)
    secret = _read_passphrase(key)

    async def run(end: VerifiedEnd) -> CompletedRestore:
        new_mb = _GROWTH * file.stat().st_size // 1_000_000
        async with run_broker(settings, new_mb=new_mb) as broker_settings:
            return await put_back(broker_settings, file, secret, end)

    began = time.monotonic()
    try:
        if check:
            end = verify_backup(file, secret)
            _print_summary(
                _summarise_backup(file, end.manifest) | {"signed_by": end.key.fingerprint}, as_json
            )
            return
        with show_progress("Restauration …"):
            result = asyncio.run(run(check_restore(settings.data, file, secret)))
    except _FAILURES as error:
        raise _print_refusal(file, error) from error
    _print_summary(
        {
            "file": str(file),
            "data": str(settings.data_dir),
            "records": result.records,
            "files": result.files,
            "rebased": result.rebased_count,
            "signed_by": result.signed_by,
            "seconds": round(time.monotonic() - began, 1),
        },
        as_json,
    )


def _summarise_backup(file: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Summarise a backup for people, with (seq, head) of every log."""
    sections = manifest["sections"]
    heads = {
        f"{a['service']}.log/{a['partition']}": [a["seq"], a["head"]]
        for a in manifest["logs"]
        if a["seq"]
    }
    return {
        "file": str(file),
        "taken_at": datetime.fromtimestamp(manifest["taken_at"] / 1000, UTC).isoformat(
            timespec="seconds"
        ),
        "records": sum(
            about["entries"]
            for name, about in sections.items()
            if "." not in name.partition("/")[2]
        ),
        "logs": heads,
    }


def _print_summary(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        if isinstance(value, dict):
            for log, (seq, head) in value.items():
                typer.echo(f"{log:22} {seq:>9}  {head}")
        else:
            typer.echo(f"{_LABELS[name]:22} {value}")
