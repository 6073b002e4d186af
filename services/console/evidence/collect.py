"""Contents of an evidence bundle.

The bundle holds the incident, the messages, the decisions with their reasons, the situation
reports, and the log records behind them. Readers get no more than they may read: notes and reasons
need access to the logbook, report texts need access to raw reports, and people appear as tokens.
Every export is logged. Rule D59.
"""

import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from schemas import continuity as c
from schemas.base import Instant
from schemas.topics import PARTITION_COUNT, SERVICES, log_topic, partition_of
from services.console.documents.document import Document
from services.console.documents.telling import CELL_TYPES
from services.console.evidence.bundle import Bundle, LogExcerpt, write_log
from services.console.logbook.lines import SERVICE_ORDER, parse_author
from services.console.read_model.queries import ReadModel
from services.console.resources import (
    Escalation,
    Incident,
    Line,
    Notification,
    Report,
    format_iso,
    to_datetime,
)
from services.runtime.http.problems import ProblemError
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.log.transaction import Transaction
from services.runtime.secrets.signing import SigningKey
from services.runtime.secrets.vault import TextItem

PAGE_SIZE: Final = 1000
CELL_KINDS: Final = ("decision", "action", "watch")
_PHOTO_ID: Final = re.compile(r'"photo":"([A-Za-z0-9_-]+)"')
_PHOTO_ENDINGS: Final = {"image/jpeg": ".jpg", "image/png": ".png"}
_TEXT_ID: Final = re.compile(r'"(?:text:|text_id":")([^"]+)"')
README: Final = """\
FR. Dossier de preuves d'un incident, fait par Vigie. Pour le vérifier : « vigie verify --bundle FICHIER.zip », ou à la main :
1. manifest.sig est la signature Ed25519 de manifest.json ; la clé publique est signing.pub. Comparez son empreinte (SHA-256 de la
   clé brute) avec celle que l'installation vous a donnée par un autre chemin.
     openssl pkeyutl -verify -pubin -inkey signing.pub -rawin -in manifest.json -sigfile manifest.sig
2. manifest.json donne le SHA-256 de chaque autre fichier :  sha256sum -b log/alerts.jsonl …
3. Chaque ligne de log/*.jsonl est un enregistrement du journal, octet pour octet. Son BLAKE2b de 128 bits est le champ « prev » de la
   ligne suivante :  printf %s "LIGNE" | b2sum -l 128 . Une ligne « withheld » appartient à un autre territoire : elle ne dit que son empreinte.
4. Chaque ligne de timeline.jsonl cite sa place : journal/partition/numéro/rang du fait dans l'enregistrement.

EN. Evidence bundle of an incident, made by Vigie. To check it: `vigie verify --bundle FILE.zip`, or by hand:
1. manifest.sig is the Ed25519 signature of manifest.json; the public key is signing.pub. Compare its fingerprint (SHA-256 of the raw
   key) with the one that the installation gave you by another way.
2. manifest.json gives the SHA-256 of every other file.
3. Each line of log/*.jsonl is a record of the log, byte for byte. Its BLAKE2b-128 is the field `prev` of the next line. A line `withheld` belongs
   to another realm: it tells its hash only.
4. Each line of timeline.jsonl cites its place: log/partition/sequence number/ordinal of the fact in the record.
"""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Request for an export: reader, incident and rights."""

    realm: str
    incident: Incident
    merged: frozenset[str]
    """Ids of the incident and of those that were merged into it."""
    role: str
    lang: str
    raw_reports: bool
    """True if the reader may read the texts of reports."""


MakePdf = Callable[[Document, c.SitrepRow], Awaitable[bytes]]
ReadPhoto = Callable[[str], Awaitable[TextItem | None]]


async def write_bundle(
    model: ReadModel,
    kafka: str,
    key: SigningKey,
    request: ExportRequest,
    pdf: MakePdf,
    read_photo: ReadPhoto,
    now: Instant,
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of the zip.

    Raises ProblemError, KafkaError, OSError. A bundle that ends early has no manifest and is no
    valid zip.
    """
    bundle, realm, ids = Bundle(), request.realm, sorted(request.merged)
    bundle.add("README.txt", README.encode())
    bundle.add("incident.json", request.incident.model_dump_json(indent=1).encode())
    yield bundle.drain()
    lines = {line.id: line for id in ids async for line in _read_lines(model, incident=id)}
    lines |= {line.id: line async for line in _read_cell_lines(model, request)}
    timeline = sorted(lines.values(), key=_get_order)
    bundle.add_lines("timeline.jsonl", timeline)
    bundle.add_lines("reports.jsonl", [report async for report in _read_reports(model, request)])
    escalations = await _read_escalations(model, ids)
    bundle.add_lines("messages.jsonl", await _read_messages(model, ids, escalations))
    bundle.add_lines("escalations.jsonl", escalations)
    actions = await model.actions(
        incident=request.incident.id, can_read=lambda _: request.raw_reports, limit=PAGE_SIZE
    )
    bundle.add_lines("actions.jsonl", actions.items)
    yield bundle.drain()
    sitreps = [pair async for pair in _read_sitreps(model, request)]
    for row, document in sitreps:
        bundle.add(f"sitreps/ps-{row.number}.json", document.frozen())
        bundle.add(f"sitreps/ps-{row.number}.pdf", await pdf(document, row))
    handovers = [
        pair
        for pair in await model.frozen_handovers()
        if not request.merged.isdisjoint(pair[1].incidents)
    ]
    for handover, document in handovers:
        bundle.add(f"handovers/releve-{handover.number}.json", document.frozen())
    yield bundle.drain()
    partition = partition_of(realm, PARTITION_COUNT)
    stretches = {service: LogExcerpt(partition) for service in SERVICES}
    async with PartitionReader(kafka) as reader:
        for service, stretch in stretches.items():
            async for chunk in write_log(
                bundle, reader, service, log_topic(service), partition, realm, ids, stretch
            ):
                yield chunk
    person = [tx for stretch in stretches.values() for tx in stretch.person]
    if request.raw_reports:
        for photo_id, photo in await _read_photos(person, read_photo):
            bundle.add(
                f"photos/{photo_id}{_PHOTO_ENDINGS[photo.content_type or '']}", photo.raw or b""
            )
            yield bundle.drain()
    frozen = {row.text_id for row, _document in sitreps}
    frozen |= {row.page.text_id for row, _document in handovers if row.page is not None}
    bundle.add_lines("decisions.jsonl", _list_decisions(model, person, partition, frozen))
    about = {
        "realm": realm,
        "incident": request.incident.id,
        "number": request.incident.number,
        "made_at": format_iso(to_datetime(now)),
        "reader": request.role,
        "words_of_reports": request.raw_reports,
        "logs": {service: stretch.about() for service, stretch in stretches.items()},
        "heads": {
            name: {"seq": seq, "head": head}
            for name, (seq, head) in sorted((await model.heads()).items())
        },
    }
    yield bundle.finish(about, key)


async def _read_photos(
    transactions: Iterable[Transaction], read: ReadPhoto
) -> list[tuple[str, TextItem]]:
    """Read the photos that people gave as evidence of cards, without erased ones. Rule D84."""
    ids = [id for tx in transactions for id in _PHOTO_ID.findall(tx.dump().decode())]
    photos = [(id, await read(id)) for id in dict.fromkeys(ids)]
    return [
        (id, item)
        for id, item in photos
        if item is not None and item.content_type in _PHOTO_ENDINGS
    ]


def _get_order(line: Line) -> tuple[datetime, int, int, int]:
    """Return the order of lines in a logbook: time of the record, then place in the logs."""
    service, _partition, seq, ordinal = line.place.split("/")
    return line.recorded_at, SERVICE_ORDER[service], int(seq), int(ordinal)


async def _read_cell_lines(model: ReadModel, request: ExportRequest) -> AsyncIterator[Line]:
    """Yield the lines about the work of the cell during the incident, which name no incident."""
    begin, end = request.incident.opened_at, request.incident.closed_at
    async for line in _read_lines(model, kind=CELL_KINDS):
        if line.recorded_at < begin:
            return
        if (
            line.incident is None
            and line.type in CELL_TYPES
            and not (end and line.recorded_at > end)
        ):
            yield line


async def _read_lines(
    model: ReadModel, *, incident: str | None = None, kind: tuple[str, ...] = ("all",)
) -> AsyncIterator[Line]:
    cursor = None
    while True:
        page = await model.timeline(
            incident=incident, kind=kind, texts=True, limit=PAGE_SIZE, cursor=cursor
        )
        for line in page.items:
            yield line
        if (cursor := page.next) is None:
            return


async def _read_reports(model: ReadModel, request: ExportRequest) -> AsyncIterator[Report]:
    for id in request.incident.reports:
        yield await model.report(id, texts=request.raw_reports)


async def _read_escalations(model: ReadModel, incidents: Iterable[str]) -> list[Escalation]:
    """Return the escalations of the incidents, each once."""
    escalations = {
        one.id: one
        for id in incidents
        for one in (await model.escalations(incident=id, limit=PAGE_SIZE)).items
    }
    return list(escalations.values())


async def _read_messages(
    model: ReadModel, incidents: Iterable[str], escalations: Iterable[Escalation]
) -> list[Notification]:
    """Return the notifications of the incidents and of their escalations."""
    notifications: dict[str, Notification] = {}
    for incident, ladder in (
        *((id, None) for id in incidents),
        *((None, one.id) for one in escalations),
    ):
        cursor = None
        while True:
            page = await model.notifications(
                limit=PAGE_SIZE, cursor=cursor, incident=incident, escalation=ladder
            )
            notifications |= {n.id: n for n in page.items}
            if (cursor := page.next) is None:
                break
    return sorted(notifications.values(), key=lambda n: (n.planned_at, n.id))


async def _read_sitreps(
    model: ReadModel, request: ExportRequest
) -> AsyncIterator[tuple[c.SitrepRow, Document]]:
    """Yield the frozen situation reports about the incident, without erased ones."""
    for sitrep in reversed((await model.sitreps()).items):
        if request.merged.isdisjoint(sitrep.incidents):
            continue
        try:
            frozen = await model.sitrep(sitrep.number)
        except ProblemError as error:
            if error.problem.code != "erased":
                raise
            continue
        yield frozen


def _list_decisions(
    model: ReadModel, transactions: Iterable[Transaction], partition: int, frozen: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield the effects of personal commands, by time, with the reasons given.

    `frozen` are ids of texts that the bundle already holds as documents.
    """
    for tx in sorted(transactions, key=lambda tx: (tx.at, tx.service, tx.seq)):
        author, role = parse_author(tx.src)
        text_ids = [
            id for id in dict.fromkeys(_TEXT_ID.findall(tx.dump().decode())) if id not in frozen
        ]
        reasons = model.texts_of(text_ids)
        yield {
            "at": datetime.fromtimestamp(tx.at / 1000, UTC).isoformat(),
            "author": author,
            "role": role,
            "command": tx.src.type,
            "facts": [fact.name for fact in tx.facts],
            "place": f"{tx.service}/{partition}/{tx.seq}",
            "reasons": [reasons[id] for id in text_ids if id in reasons],
            "erased": [id for id in text_ids if id not in reasons],
        }
