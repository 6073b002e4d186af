"""`vigie support FILE`: write a diagnostic bundle without personal data.

Only data known to be impersonal goes in: states, versions, names of settings, metrics, findings,
and the fixed fields of log lines. Texts, names and contacts are in encrypted topics, which are not
read. Values in log lines that look like an address or a number are blanked nevertheless.
"""

import asyncio
import json
import platform
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

import httpx2 as httpx
import psutil
import typer
from pydantic import SecretStr

from services.appliance.supervisor.status import read_status
from services.cli.client import print_error
from services.cli.system.doctor import run_checks
from services.cli.system.settings_reference import GROUPS, list_own_fields, variable_name
from services.cli.system.status import list_targets
from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import Settings, find_version
from services.runtime.secrets.files import describe_wrong_variables
from services.runtime.secrets.local_secrets import build_header

LOG_TAIL_LINES: Final = 2000
"""Lines of each log."""
_KEPT_FIELDS: Final = frozenset(
    (
        "time",
        "timestamp",
        "level",
        "event",
        "service",
        "process",
        "logger",
        "reason",
        "error",
        "exception",
        "code",
        "act",
        "means",
        "detail",
        "partition",
        "partitions",
        "seq",
        "offset",
        "topic",
        "topics",
        "run",
        "logic",
        "records",
        "seconds",
        "count",
        "channel",
        "outcome",
        "status",
        "state",
        "why",
        "address",
        "pid",
        "restarts",
        "attempt",
        "notification",
        "input_type",
        "law",
        "instance",
        "created",
        "position",
        "lag",
        "what",
        "waiting_for",
        "correlation_id",
    )
)
"""Fields of a log line that are kept.

All others are blanked, so that a new field reveals nothing by accident.
"""
_PERSONAL_PATTERNS: Final = (
    re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    re.compile(r"(?<![\w-])(?:\+|00)\d[\d .-]{7,}\d(?![\w-])"),
    re.compile(r"(?<![\w.-])0[1-9](?:[ .-]?\d\d){4}(?![\w-])"),
    re.compile(r"\bvigie_[A-Za-z0-9_-]{20,}"),
    re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"),
)
BLANK: Final = "…"
_SECRET_NAME: Final = re.compile(r"password|token|secret|key|url|redis", re.IGNORECASE)


def blank_personal_data(text: str) -> str:
    """Mask addresses, telephone numbers, tokens and logins in URLs."""
    for pattern in _PERSONAL_PATTERNS:
        text = pattern.sub(BLANK, text)
    return text


def read_log_lines(file: Path) -> Iterator[str]:
    """Yield the end of a JSON log, each line reduced to data that may be given away."""
    with file.open(encoding="utf-8", errors="replace") as source:
        for raw in deque(source, maxlen=LOG_TAIL_LINES):
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            if isinstance(line, dict):
                safe_fields = {
                    name: value if name in _KEPT_FIELDS else BLANK for name, value in line.items()
                }
                yield blank_personal_data(json.dumps(safe_fields, ensure_ascii=False))


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return every setting by its variable.

    Secrets and addresses with a login show only whether they are set. Unreadable settings show the
    reason.
    """
    setting_values: dict[str, Any] = {}
    for title, kind in GROUPS:
        try:
            group_settings = (
                settings
                if kind is Settings
                else kind(data_dir=settings.data_dir)
                if issubclass(kind, Settings)
                else kind()
            )
        except ValueError as error:
            setting_values[title] = blank_personal_data(
                describe_wrong_variables(error) or type(error).__name__
            )
            continue
        for name in list_own_fields(kind):
            setting_values[variable_name(kind, name, kind.model_fields[name])] = _describe_value(
                name, getattr(group_settings, name)
            )
    return setting_values


def _describe_value(name: str, value: Any) -> Any:
    raw = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(value, SecretStr) or _SECRET_NAME.search(name):
        return bool(raw) and "set"
    return (
        raw if raw is None or isinstance(raw, bool | int | float) else blank_personal_data(str(raw))
    )


def describe_machine() -> dict[str, Any]:
    """Describe the machine without its name."""
    memory = psutil.virtual_memory()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "vigie": find_version(),
        "python": sys.version.split()[0],
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": psutil.cpu_count(),
        "load": psutil.getloadavg(),
        "memory_mb": memory.total >> 20,
        "memory_free_mb": memory.available >> 20,
        "packages": {
            d.metadata["Name"]: d.version
            for d in sorted(distributions(), key=lambda d: d.metadata["Name"].lower())
        },
    }


def read_process_metrics(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (process, Prometheus text) of each process that answers."""
    headers = build_header(settings.data.secrets)
    with httpx.Client(timeout=2, trust_env=False, headers=headers) as client:
        for target in list_targets(settings):
            try:
                answer = client.get(f"http://{target['targets'][0]}/metrics")
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                yield target["labels"]["process"], answer.text


def write_bundle(settings: Settings, file: Path) -> list[str]:
    """Write the bundle and return the names of its files.

    Raises OSError.
    """
    status = read_status(settings.data.status) or {"state": "stopped"}
    findings = [asdict(f) for f in asyncio.run(run_checks(settings))]
    with open_atomic_file(file) as target, ZipFile(target, "w", ZIP_DEFLATED) as bundle:

        def put(name: str, content: Any) -> None:
            text = (
                content
                if isinstance(content, str)
                else json.dumps(content, ensure_ascii=False, indent=1, default=str)
            )
            bundle.writestr(name, text)

        put("machine.json", describe_machine())
        put("settings.json", describe_settings(settings))
        put("status.json", json.loads(blank_personal_data(json.dumps(status))))
        put(
            "doctor.json", json.loads(blank_personal_data(json.dumps(findings, ensure_ascii=False)))
        )
        for name, text in read_process_metrics(settings):
            put(f"metrics/{name}.txt", text)
        for log in sorted(settings.data.logs.glob("*.jsonl")):
            put(f"logs/{log.name}", "".join(f"{line}\n" for line in read_log_lines(log)))
        return bundle.namelist()


def support(
    file: Annotated[Path, typer.Argument(help="Zip file to write", dir_okay=False)],
) -> None:
    """Write a diagnostic bundle without personal data and secrets.

    It holds states, versions, settings, metrics and log lines.
    """
    try:
        names = write_bundle(Settings(), file)
    except OSError as error:
        raise print_error(error) from error
    typer.echo(
        f"{file}: {len(names)} files, {file.stat().st_size >> 10} kB. Look through it before you give it away."
    )
