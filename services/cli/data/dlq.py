"""`vigie dlq`: list, show and replay inputs that had no effect."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx2 as httpx
import typer
from aiokafka.errors import KafkaError

from schemas.base import Command, UnknownType, message_class
from schemas.reports import ReportReceived
from schemas.wire import CE_SOURCE, CE_TYPE
from schemas.words import Certainty
from services.cli.client import (
    ask_to_go_on,
    describe_no_answer,
    describe_no_broker,
    error_text,
    find_token,
)
from services.cli.output import create_group, print_json
from services.console.logbook.lines import build_author_source
from services.intake.dead_letters.dead_letter_store import CORRECTOR_HEADER
from services.runtime.decider.inputs import REFUSAL_CODE as UNSIGNED
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.accounts import LOCAL_ADMIN
from services.runtime.identity.permissions import Role
from services.runtime.kafka.clients import (
    BrokerAway,
    RecordHeaders,
    RecordProducer,
    choose_partition,
)
from services.runtime.kafka.dead_letters import (
    DeadLetter,
    DeadLetterKind,
    RecordGone,
    build_replay_headers,
    build_row,
    get_time,
    read_dead_letters,
    replay_record,
)
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

TEXT_TIMEOUT_S = 5.0
"""Seconds to wait for the encrypted original bytes of a refused message."""

app = create_group("Dead letters: inputs that failed, could not be read, or were refused.")


class DlqFailed(Exception):
    """Signal a failure in one sentence for the person at the shell."""


def _read_letters(settings: Settings) -> AsyncIterator[DeadLetter]:
    if not settings.kafka:
        raise DlqFailed(describe_no_broker(settings))
    return read_dead_letters(settings.kafka)


async def _find_letter(settings: Settings, start: str) -> DeadLetter:
    letters = [letter async for letter in _read_letters(settings) if letter.id.startswith(start)]
    if not letters:
        raise DlqFailed(f"no dead letter {start}: see `vigie dlq list`")
    if len(letters) > 1:
        raise DlqFailed(f"{len(letters)} dead letters begin with {start}: give more of the id")
    return letters[0]


async def _read_body(settings: Settings, letter: DeadLetter) -> bytes | None:
    """Return the original bytes of a dead letter.

    The result is None if there were none, or if they were erased.
    """
    if letter.text_id is None:
        return letter.body
    async with Vault.open(settings) as vault:
        item = await vault.texts.get(letter.text_id, wait_s=TEXT_TIMEOUT_S)
    return None if item is None else item.raw


def _run(coroutine: Any) -> Any:
    try:
        return asyncio.run(coroutine)
    except (DlqFailed, BrokerAway, KafkaError, OSError) as error:
        typer.secho(f"vigie dlq: {error_text(error)}", err=True, fg="red")
        raise typer.Exit(1) from error


@app.command("list")
def list_letters(
    realm: Annotated[str | None, typer.Option(help="Only this realm")] = None,
    lane: Annotated[
        DeadLetterKind | None, typer.Option(help="Only dead letters of this kind")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of rows, newest first")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """List the newest dead letters."""

    async def collect() -> list[DeadLetter]:
        matching_letters = [
            x
            async for x in _read_letters(Settings())
            if (realm is None or x.realm == realm) and (lane is None or x.lane is lane)
        ]
        return sorted(matching_letters, key=lambda x: (x.at, x.id))[-limit:]

    letters: list[DeadLetter] = _run(collect())
    if as_json:
        print_json({"items": [build_row(x) for x in letters]})
        return
    if not letters:
        typer.echo("no dead letters")
        return
    from rich.table import Table

    from services.cli.lists import format_moment
    from services.cli.output import open_console, strip_controls

    table = Table()
    for column in ("id", "at", "realm", "lane", "type", "code", "why"):
        table.add_column(
            column, overflow="fold" if column == "why" else "ellipsis", no_wrap=column != "why"
        )
    for x in letters:
        table.add_row(
            *(
                strip_controls(cell)
                for cell in (
                    x.id[:13],
                    format_moment(get_time(x)),
                    x.realm or "-",
                    x.lane.value,
                    x.input_type or "",
                    x.code,
                    x.detail,
                )
            )
        )
    open_console().print(table)


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(help="Id, or its first characters")],
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document; bytes that are not UTF-8 are replaced"),
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print only the original bytes, to edit them for a replay")
    ] = False,
) -> None:
    """Show one dead letter with its original bytes."""

    async def read() -> tuple[DeadLetter, bytes | None]:
        settings = Settings()
        letter = await _find_letter(settings, letter_id)
        return letter, await _read_body(settings, letter)

    letter, body = _run(read())
    if raw:
        sys.stdout.buffer.write(body or b"")
        return
    text = None if body is None else body.decode("utf-8", "replace")
    if as_json:
        print_json(build_row(letter) | {"body": text})
        return
    from services.cli.output import strip_controls

    for name, value in build_row(letter).items():
        if value not in (None, {}):
            typer.echo(strip_controls(f"{name:<13} {value}"))
    typer.echo(f"\n{'(no body, or erased)' if text is None else strip_controls(text)}")


@app.command()
def replay(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids, or their first characters; none with --service")
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(help="All dead letters of this service: intake, alerts, …; asks first"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --service: skip the confirmation")
    ] = False,
    body: Annotated[
        Path | None,
        typer.Option(
            help="Corrected bytes in place of the original ones", exists=True, dir_okay=False
        ),
    ] = None,
    realm: Annotated[str | None, typer.Option(help="Correct realm, if the key was wrong")] = None,
    input_type: Annotated[
        str | None, typer.Option("--type", help="Correct type, if it was unknown")
    ] = None,
) -> None:
    """Replay inputs, oldest first; a single one may be corrected.

    An input that had its effect meanwhile is recognised and changes nothing. One that fails again
    does not keep the others from their replay.
    """
    if bool(letter_ids) == (service is not None):
        raise typer.BadParameter("give ids, or --service")
    is_single = letter_ids is not None and len(letter_ids) == 1
    if not is_single and (body is not None or realm is not None or input_type is not None):
        raise typer.BadParameter("--body, --realm and --type correct a single dead letter")
    letters: list[DeadLetter] = _run(_list_replayed(Settings(), letter_ids or (), service))
    if service is not None and not letters:
        typer.echo(f"no dead letters of {service}")
        return
    if service is not None and not yes:
        kinds = ", ".join(f"{n} {code}" for code, n in Counter(x.code for x in letters).items())
        ask_to_go_on(
            f"Replay {len(letters)} dead letters ({kinds})?", "Add --yes to replay them unasked."
        )
    failures = 0
    for letter in letters:
        try:
            _replay_letter(letter, body, realm, input_type)
        except typer.Exit:
            failures += 1
    if failures:
        raise typer.Exit(1)


async def _list_replayed(
    settings: Settings, starts: Sequence[str], service: str | None
) -> list[DeadLetter]:
    """Return the dead letters with these ids, or all of a service, oldest first."""
    if service is None:
        return [await _find_letter(settings, start) for start in dict.fromkeys(starts)]
    letters = [letter async for letter in _read_letters(settings) if letter.service == service]
    return sorted(letters, key=lambda letter: (letter.at, letter.id))


def _replay_letter(
    letter: DeadLetter, body: Path | None, realm: str | None, input_type: str | None
) -> None:
    """Replay one input, corrected if necessary, and print where it is. Raises typer.Exit."""
    new_body = None if body is None else body.read_bytes()

    async def replay_input() -> str:
        settings = Settings()
        if letter.lane is DeadLetterKind.REFUSED and letter.topic is not None:
            return await _republish(settings, letter, new_body)
        if letter.lane is DeadLetterKind.REFUSED:
            return await _replay_at_front(settings, letter, new_body)
        content, headers = new_body, build_replay_headers(letter, input_type)
        original = await _read_body(settings, letter)
        is_foreign = (
            letter.code == UNSIGNED and original is not None
        )  # The author of an unsigned input is unknown.
        if content is None:
            content = original
        if content is not None and (content != original or is_foreign):
            content, headers = name_corrector(content, headers)
        if letter.topic is None:
            raise DlqFailed(f"{letter.id} does not say which topic it came from")
        key = realm or letter.realm
        if not key:
            raise DlqFailed(f"{letter.id} has no realm: give one with --realm")
        async with RecordProducer(
            settings.kafka, InputMarks.open(settings.data.secrets)
        ) as producer:
            partition, offset = await producer.send_raw(
                letter.topic, choose_partition(letter.topic, key), key.encode(), content, headers
            )
        return f"{letter.input_id or letter.id} is on {letter.topic} again (partition {partition}, offset {offset})"

    typer.echo(_run(replay_input()))


def name_corrector(value: bytes, headers: RecordHeaders) -> tuple[bytes, RecordHeaders]:
    """Name the operator of this machine as the corrector of an input.

    A report then counts as unconfirmed; a command becomes the operator's own. Any other input names
    no author and stays unchanged.
    """
    new_headers = dict(headers)
    try:
        kind = message_class(new_headers.get(CE_TYPE, b"").decode("utf-8", "replace"))
        document = json.loads(value)
    except (UnknownType, ValueError):
        return value, headers
    if not isinstance(document, dict):
        return value, headers
    if issubclass(kind, ReportReceived):
        unsure = document.get("certainty") == Certainty.RUMOUR
        document |= {
            "corrected_by": LOCAL_ADMIN,
            "certainty": (Certainty.RUMOUR if unsure else Certainty.UNCONFIRMED).value,
        }
    elif issubclass(kind, Command):
        document |= {"author": LOCAL_ADMIN, "role": Role.ADMIN.value}
        new_headers[CE_SOURCE] = build_author_source(LOCAL_ADMIN, Role.ADMIN.value).encode()
    return json.dumps(document, ensure_ascii=False).encode(), list(new_headers.items())


async def _republish(settings: Settings, letter: DeadLetter, new_body: bytes | None) -> str:
    try:
        partition, offset = await replay_record(
            settings.kafka, letter, new_body, [(CORRECTOR_HEADER, LOCAL_ADMIN.encode())]
        )
    except RecordGone as error:
        raise DlqFailed(str(error)) from error
    return f"{letter.id} is on {letter.topic} again (partition {partition}, offset {offset})"


async def _replay_at_front(settings: Settings, letter: DeadLetter, new_body: bytes | None) -> str:
    """Ask the front door to accept a refused message again, in the name of its sender."""
    headers = {}
    if token := find_token(settings):
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with httpx.AsyncClient(
            base_url=settings.urls[0], trust_env=False, timeout=10.0
        ) as client:
            answer = await client.post(
                f"/api/v1/refused/{letter.id}/replay", content=new_body or b"", headers=headers
            )
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise DlqFailed(describe_no_answer(settings.urls[0], error)) from error
    sentence = f"{letter.headers.get('path', letter.id)} answered {answer.status_code}: {answer.text[:500]}"
    if answer.is_error:
        raise DlqFailed(sentence)
    return sentence
