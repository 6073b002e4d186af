"""`vigie snapshot`: show the snapshot from which each decider would start, and the rest to fold."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from schemas.topics import PARTITION_COUNT, SERVICES, log_topic
from services.cli.client import print_error, require_broker
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.snapshots import read_newest_manifests
from services.runtime.log.transaction import Transaction
from services.runtime.process.settings import Settings


@dataclass(frozen=True, slots=True)
class PartitionStart:
    """Start of one partition after a restart."""

    service: str
    partition: int
    log_seq: int
    """Sequence number of the newest record of the log; 0 = empty."""
    snapshot_seq: int
    """Sequence number of the newest snapshot; 0 = none yet."""
    taken_at: str | None
    realms: int

    @property
    def to_fold(self) -> int:
        return self.log_seq - self.snapshot_seq


async def read_starts(kafka: str) -> list[PartitionStart]:
    """Read the start of every partition with records.

    Raises KafkaError and OSError.
    """
    starts = []
    async with PartitionReader(kafka) as reader:
        for service in SERVICES:
            ends = await reader.bounds(log_topic(service), range(PARTITION_COUNT))
            newest = await reader.at(
                log_topic(service), {p: end - 1 for p, (begin, end) in ends.items() if end > begin}
            )
            for partition, record in sorted(newest.items()):
                seq = Transaction.load(record.value).seq
                best = next(iter(await read_newest_manifests(reader, service, partition)), None)
                snapshot_time = (
                    None
                    if best is None
                    else datetime.fromtimestamp(best.at / 1000, UTC).isoformat(timespec="seconds")
                )
                starts.append(
                    PartitionStart(
                        service,
                        partition,
                        seq,
                        0 if best is None else best.position.seq,
                        snapshot_time,
                        0 if best is None else len(best.realms),
                    )
                )
    return starts


def snapshot(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show the newest snapshot of each log partition.

    Deciders write snapshots by themselves, also in quiet times.
    """
    settings = Settings()
    require_broker(settings)
    try:
        starts = asyncio.run(read_starts(settings.kafka))
    except (KafkaError, OSError) as error:
        raise print_error(error) from error
    if as_json:
        typer.echo(json.dumps({"items": [asdict(s) | {"to_fold": s.to_fold} for s in starts]}))
        return
    from rich.table import Table

    from services.cli.lists import format_local_time
    from services.cli.output import open_console

    table = Table()
    for column in ("log", "partition", "records", "snapshot at", "to fold", "taken", "realms"):
        table.add_column(column, justify="left" if column in ("log", "taken") else "right")
    for s in starts:
        table.add_row(
            s.service,
            str(s.partition),
            str(s.log_seq),
            str(s.snapshot_seq or ""),
            str(s.to_fold),
            format_local_time(s.taken_at),
            str(s.realms or ""),
        )
    open_console().print(table)
