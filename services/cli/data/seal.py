"""`vigie seal`: archive the logs of a year, signed, and prove later that nothing has changed."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZIP_DEFLATED, ZipFile

import orjson
import typer
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT, SERVICES, log_topic
from services.appliance.supervisor.alone import NoBroker, run_broker
from services.cli.client import print_error
from services.cli.output import print_json
from services.runtime.log.chain import Position, advance_position
from services.runtime.log.heads import HeadsByLog, format_log_name, sign_statement
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.exits import Stop
from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import Settings
from services.runtime.secrets.signing import PUBLIC_FILE, PublicKey, SigningKey, SigningKeyInvalid
from services.runtime.worker.recovery import ANY_LOGIC
from services.verify.bundle import STATEMENT, SealUnreadable, build_entry_name, verify_seal


class SealRefused(Exception):
    """Signal a log that differs from the sealed one."""


def seal(
    file: Annotated[Path, typer.Argument(help="Archive to write, or to check with --check")],
    since: Annotated[
        Path | None,
        typer.Option(
            help="Previous seal; the archive then holds only later records",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help=(
                "Check the archive, and that the logs of this installation still contain its "
                "records"
            ),
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            help=(
                "With --check: public key of the expected signature; default: that of this "
                "installation, if there is one"
            )
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Archive the logs in one file, signed over the end of each log.

    Run it once a year and keep the file elsewhere. Nothing is removed from the logs.
    """
    settings = Settings()
    try:
        if file.exists() and not check:
            raise SealRefused(f"{file} exists: a seal is never written over")
        known_key = _load_known_key(settings, key)
        summary = asyncio.run(
            _check_seal(settings, file, known_key)
            if check
            else _write_seal(settings, file, since, known_key)
        )
    except (
        SealUnreadable,
        SealRefused,
        SigningKeyInvalid,
        NoBroker,
        KafkaError,
        Stop,
        OSError,
    ) as error:
        raise print_error(error) from error
    if as_json:
        print_json(summary)
        return
    typer.echo(
        f"{file}: {summary['records']} records of {len(summary['logs'])} logs until {summary['at']}, signed with {summary['key']}"
    )
    if check:
        typer.echo("the archive is whole, and the logs still hold everything that it sealed")


def _load_known_key(settings: Settings, key: Path | None) -> PublicKey | None:
    path = key or settings.data.secrets / PUBLIC_FILE
    return PublicKey.load(path.read_bytes()) if key is not None or path.exists() else None


async def _write_seal(
    settings: Settings, file: Path, since: Path | None, expected_key: PublicKey | None
) -> dict[str, Any]:
    before: HeadsByLog = {} if since is None else verify_seal_file(since, expected_key)[1]
    heads: dict[str, tuple[int, str]] = {}
    files: dict[str, str] = {}
    async with run_broker(settings) as running, PartitionReader(running.kafka) as reader:
        signing = SigningKey.open(settings.data.secrets)
        with open_atomic_file(file) as target, ZipFile(target, "w", ZIP_DEFLATED) as zip:
            count = 0
            for service in SERVICES:
                for partition in range(PARTITION_COUNT):
                    name = format_log_name(service, partition)
                    log_entry, count = await archive_log(
                        zip, reader, service, partition, before.get(name), count
                    )
                    if log_entry is not None:
                        heads[name], files[build_entry_name(name)] = log_entry
            at = round(time.time() * 1000)
            statement = sign_statement(
                signing,
                at,
                heads,
                before={n: {"seq": s, "head": h} for n, (s, h) in before.items()},
                files=files,
                year=datetime.fromtimestamp(at / 1000, UTC).year,
            )
            zip.writestr(STATEMENT, orjson.dumps(statement, option=orjson.OPT_INDENT_2))
    return {
        "records": count,
        "logs": {n: list(h) for n, h in heads.items()},
        "at": statement["at"],
        "key": signing.public.fingerprint,
    }


async def archive_log(
    zip: ZipFile,
    reader: PartitionReader,
    service: str,
    partition: int,
    before: tuple[int, str] | None,
    count: int,
) -> tuple[tuple[tuple[int, str], str] | None, int]:
    """Archive one log partition; return ((head, hash of the entry), records so far).

    The first element is None for an empty partition. Raises SealRefused.
    """
    topic, at, whole, is_past_seal = log_topic(service), Position(), sha256(), before is None
    bounds = await reader.bounds(topic, [partition])
    if bounds[partition][1] == bounds[partition][0] and is_past_seal:
        return None, count
    with zip.open(
        build_entry_name(format_log_name(service, partition)), "w", force_zip64=True
    ) as entry:
        async for record in reader.read(topic, bounds):
            at, transaction = advance_position(at, record.offset, record.value, ANY_LOGIC)
            if transaction is None:
                continue
            if is_past_seal:
                whole.update(record.value + b"\n")
                entry.write(record.value + b"\n")
                count += 1
            is_past_seal = is_past_seal or (at.seq, at.hash) == before
    if not is_past_seal:
        raise SealRefused(
            f"{topic}/{partition} lacks the records of the previous seal: its history is another one"
        )
    return ((at.seq, at.hash), whole.hexdigest()), count


def verify_seal_file(
    file: Path, expected_key: PublicKey | None
) -> tuple[int, Mapping[str, tuple[int, str]], str, str]:
    """Verify a seal and return (records, heads, time, key).

    Raises SealUnreadable, SealRefused and OSError.
    """
    statement, count, broken = verify_seal(file, expected_key)
    if broken:
        raise SealRefused(f"{file}: {broken[0]}")
    return count, statement.logs, statement.at, statement.key


async def _check_seal(
    settings: Settings, file: Path, expected_key: PublicKey | None
) -> dict[str, Any]:
    count, heads, at, key = verify_seal_file(file, expected_key)
    async with run_broker(settings) as running, PartitionReader(running.kafka) as reader:
        for service in SERVICES:
            for partition in range(PARTITION_COUNT):
                name, topic, position = (
                    format_log_name(service, partition),
                    log_topic(service),
                    Position(),
                )
                if name not in heads:
                    continue
                has_head = False
                async for record in reader.read(topic, await reader.bounds(topic, [partition])):
                    position, _ = advance_position(position, record.offset, record.value, ANY_LOGIC)
                    has_head = has_head or (position.seq, position.hash) == heads[name]
                if not has_head:
                    raise SealRefused(
                        f"{topic}/{partition} does not hold record {heads[name][0]} as it was sealed: the log was changed or cut"
                    )
    return {"records": count, "logs": {n: list(h) for n, h in heads.items()}, "at": at, "key": key}
