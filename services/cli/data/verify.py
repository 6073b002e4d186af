"""`vigie verify`: check the guarantees from the logs with independent code."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from rich.markup import escape
from rich.table import Table

from schemas.base import RowFact, load_messages
from schemas.topics import list_destinations
from schemas.words import NotificationState
from services.cli.client import print_error, require_broker
from services.cli.output import open_console, print_json, show_progress, strip_controls
from services.runtime.process.settings import Settings
from services.runtime.secrets.signing import PUBLIC_FILE, PublicKey
from services.verify.bundle import verify_bundle
from services.verify.laws import (
    LAWS,
    Findings,
    check_dead_letters,
    check_forwarding,
    check_inputs,
    check_notifications,
    check_read_model,
    check_reassignments,
    check_reports,
)
from services.verify.reading import ConvergenceJudge, VerifiedLogs, read_rows


async def judge_logs(settings: Settings, patience_s: float) -> tuple[Findings, VerifiedLogs]:
    """Read everything, and read on while breaches could heal.

    Only `broken` of the findings is meaningful.
    """
    chain = Findings()
    classes = load_messages().values()
    collections = {cls.__name__: cls.collection for cls in classes if issubclass(cls, RowFact)}
    evidence = VerifiedLogs(settings.kafka, chain, collections, list_destinations)
    patience = ConvergenceJudge(patience_s)
    while True:
        await evidence.advance()
        findings = Findings(list(chain.broken))
        check_inputs(evidence.logs, evidence.inputs, findings, evidence.urgent)
        check_reports(evidence.logs, findings)
        check_forwarding(evidence.logs, findings)
        check_notifications(evidence.logs, (s.value for s in NotificationState), findings)
        check_reassignments(evidence.logs, findings)
        check_dead_letters(evidence.logs, evidence.letters, findings)
        try:
            check_read_model(evidence.logs, *await read_rows(settings.redis), findings)
        except RedisError as exc:
            findings.wait("read-model", "store", f"the store does not answer: {exc}")
        verdict = patience.judge(findings, _count_records(evidence), time.monotonic())
        if verdict is not None:
            return Findings(verdict), evidence
        await asyncio.sleep(0.5)


def _verify_bundle(file: Path, key: Path, *, is_required: bool, as_json: bool) -> None:
    """Print the result of a bundle.

    Raises typer.Exit(1) on a breach.
    """
    try:
        public_key = PublicKey.load(key.read_bytes()) if is_required or key.exists() else None
        bundle_verdict = verify_bundle(file, public_key)
    except (OSError, ValueError) as exc:
        raise print_error(exc) from exc
    broken = [{"law": law, "what": what} for law, what in bundle_verdict.broken]
    if as_json:
        print_json(
            {
                "ok": not broken,
                "key": bundle_verdict.key,
                "known_key": bundle_verdict.known_key,
                **bundle_verdict.counts,
                "broken": broken,
            }
        )
    else:
        console = open_console(markup=True)
        console.print(
            f"{escape(str(file))}: "
            + ", ".join(f"{n} {name}" for name, n in bundle_verdict.counts.items()),
            highlight=False,
        )
        whose = {
            True: "the key that was expected",
            False: "[red]another key[/]",
            None: "a key that only you can compare",
        }[bundle_verdict.known_key]
        console.print(f"signed with {bundle_verdict.key}: {whose}", highlight=False)
        for law, sentence in bundle_verdict.broken[:100]:
            console.print(f"[red]{law}[/] {escape(strip_controls(sentence))}", highlight=False)
        if not broken:
            console.print(
                "[green]signature, files, chain, timeline and points de situation hold[/]"
            )
    if broken:
        raise typer.Exit(1)


def _count_records(evidence: VerifiedLogs) -> int:
    """Count everything that was read."""
    inputs = sum(
        len(log_inputs) for log_inputs in (*evidence.inputs.values(), *evidence.urgent.values())
    )
    return inputs + sum(log.accepted_count for log in evidence.logs.values())


def verify(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds without progress after which messages on their way count as lost"
        ),
    ] = 15.0,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Check this evidence bundle instead of the logs", exists=True, dir_okay=False
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Public key of the expected signature; default: that of this installation, if "
                "there is one"
            )
        ),
    ] = None,
) -> None:
    """Check from the logs, independently, that every promise was kept; or check a bundle."""
    settings = Settings()
    if key is not None and bundle is None:
        raise typer.BadParameter("--key goes with --bundle")
    if bundle is not None:
        _verify_bundle(
            bundle,
            key or settings.data.secrets / PUBLIC_FILE,
            is_required=key is not None,
            as_json=as_json,
        )
        return
    require_broker(settings)
    try:
        with show_progress("Lecture des journaux …"):
            findings, evidence = asyncio.run(judge_logs(settings, patience))
    except (KafkaError, OSError) as exc:
        raise print_error(exc) from exc
    counts = {
        "inputs": sum(len(i) for i in (*evidence.inputs.values(), *evidence.urgent.values())),
        "transactions": sum(log.accepted_count for log in evidence.logs.values()),
        "ignored": sum(log.ignored_count for log in evidence.logs.values()),
        "facts": sum(log.facts for log in evidence.logs.values()),
        "reports": sum(len(log.reports) for log in evidence.logs.values()),
    }
    if as_json:
        print_json(
            {
                "ok": not findings.broken,
                **counts,
                "broken": [{"law": law, "what": what} for law, what in findings.broken],
            }
        )
    else:
        console = open_console(markup=True)
        table = Table(title=", ".join(f"{n} {name}" for name, n in counts.items()))
        for column in ("", "Law", "Promise"):
            table.add_column(column)
        broken = {law for law, _ in findings.broken}
        for law, promise in LAWS.items():
            table.add_row("[red]✗[/]" if law in broken else "[green]✓[/]", law, promise)
        console.print(table)
        for law, sentence in findings.broken[:100]:
            console.print(f"[red]{law}[/] {escape(sentence)}", highlight=False)
    if findings.broken:
        raise typer.Exit(1)
