"""`vigie doctor`: find faults before they matter; changes nothing."""

import asyncio
import difflib
import os
import re
import shutil
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from schemas.base import DAY_MS
from services.appliance.supervisor.status import read_status
from services.cli.client import ApiClient, ApiRefused, VigieUnreachable
from services.cli.oncall.channels import fetch_running_channels
from services.cli.output import open_console, print_json, show_progress
from services.cli.system.status import find_clock_faults
from services.runtime.process.files import is_locked
from services.runtime.process.settings import IN_WHEEL, DataDir, Settings, split_host_port
from services.runtime.secrets.files import describe_wrong_variables
from services.runtime.secrets.keyring import KEYRING_FILE, MasterKeyInvalid, check_keyring
from services.territory import TerritoryInvalid, load_current_territory
from services.territory.official_days import PARIS, list_calendar_warnings

State = Literal["ok", "warning", "fault"]
LOW_DISK_MB: Final = 2_048
TOO_LOW_DISK_MB: Final = 500
SLOW_SYNC_MS: Final = 50.0
SYNC_RUNS: Final = 10
CHECK_TIMEOUT_S: Final = 10.0
LOOPBACK: Final = ("127.", "::1", "localhost")
ENDS_SOON_DAYS: Final = 30
FRONT_CERTIFICATE_DAYS: Final = 14
"""Days before the end of the front's certificate from which it needs a person."""


UNLISTED: Final = frozenset({"VIGIE_SUPERVISOR", "VIGIE_FAILPOINT"})
"""Variables that are no settings: from the supervisor to its processes, and of fault tests."""
_KUBERNETES_VARIABLE: Final = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP).*)?$")
"""Variables that Kubernetes sets for every service with a name that begins with `vigie`."""


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """Result of one check."""

    check: str
    state: State
    result: str
    act: str = ""
    """Remedy; empty if there is nothing to do."""


def check_variables(environment: Iterable[str]) -> Iterator[DoctorFinding]:
    """Find `VIGIE_` variables that nothing reads.

    A provider under a misspelt variable would call nobody, without any other sign.
    """
    from services.cli.system.settings_reference import list_variables as documented

    valid_names = {*documented(), *UNLISTED}
    for name in sorted(
        n
        for n in environment
        if n.startswith("VIGIE_") and n not in valid_names and not _KUBERNETES_VARIABLE.search(n)
    ):
        near = difflib.get_close_matches(name, valid_names, n=1, cutoff=0.8)
        act = f"did you mean {near[0]}? " if near else ""
        yield DoctorFinding(
            "setting",
            "warning",
            f"{name} is not a variable of Vigie",
            f"{act}see docs/reference/configuration.md",
        )


def check_disk(data: DataDir) -> Iterator[DoctorFinding]:
    """Check free space and the time of a durable write, for which every accepted report waits.

    See docs/adr/0003-flush-each-record-on-a-single-node.md.
    """
    free_mb = shutil.disk_usage(data.root).free >> 20
    state: State = (
        "ok" if free_mb >= LOW_DISK_MB else "warning" if free_mb >= TOO_LOW_DISK_MB else "fault"
    )
    yield DoctorFinding(
        "disk room",
        state,
        f"{free_mb} MB free under {data.root}",
        "" if state == "ok" else "make room: a full disk stops the broker",
    )
    try:
        took_ms = measure_sync_ms(data.run)
    except OSError as error:
        act = "make room, or give the folder to the user that runs Vigie"
        yield DoctorFinding(
            "disk speed", "fault", f"no file can be written under {data.run}: {error.strerror}", act
        )
        return
    slow = took_ms > SLOW_SYNC_MS
    yield DoctorFinding(
        "disk speed",
        "warning" if slow else "ok",
        f"a durable write takes {took_ms:.1f} ms (median of {SYNC_RUNS})",
        "reports will be accepted slowly: use another disk, or move other programs off it"
        if slow
        else "",
    )


def check_restore(data: DataDir) -> Iterator[DoctorFinding]:
    """Find a restore that did not come to its end: nothing starts on it."""
    if data.restoring.exists() and not is_locked(data.lock):
        yield DoctorFinding(
            "restore",
            "fault",
            f"a restore into {data.root} did not come to its end",
            "delete the directory and run `vigie restore` again",
        )


def measure_sync_ms(folder: Path) -> float:
    """Measure the median time of a small write with fsync, ms."""
    times = []
    path = folder / ".doctor"
    try:
        for _ in range(SYNC_RUNS):
            began = time.perf_counter()
            with path.open("wb") as file:
                file.write(b"x" * 512)
                file.flush()
                os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    finally:
        path.unlink(missing_ok=True)
    return sorted(times)[SYNC_RUNS // 2]


def check_keys(data: DataDir) -> DoctorFinding:
    """Check that the master key opens the keyring: texts and names cannot be read otherwise."""
    remedy = f"put {data.secrets} back from a copy, or use `vigie restore` on a new directory"
    try:
        check_keyring(data.secrets)
    except (MasterKeyInvalid, OSError) as error:
        return DoctorFinding("keys", "fault", str(error), remedy)
    except sqlite3.Error as error:
        what = f"{data.secrets / KEYRING_FILE} is damaged: {error}"
        return DoctorFinding("keys", "fault", what, remedy)
    if data.lost_keys.exists():
        what = (
            f"{data.secrets / data.lost_keys.read_text()} was gone at a start and was made anew: "
            "texts, names and addresses from before cannot be read, nobody of them is called"
        )
        act = (
            f"stop Vigie, put {data.secrets} back from a copy, delete {data.lost_keys}, start. "
            "Without a copy: vigie directory import, open the accounts, then delete that file"
        )
        return DoctorFinding("keys", "fault", what, act)
    return DoctorFinding("keys", "ok", "the master key opens the keyring")


def check_secrets(data: DataDir) -> Iterator[DoctorFinding]:
    """Check that only the owner can read the secrets."""
    try:
        open_to_others = [
            p.name
            for p in (data.secrets, *data.secrets.iterdir())
            if stat.S_IMODE(p.stat().st_mode) & 0o077
        ]
    except OSError as error:
        yield DoctorFinding(
            "secrets",
            "fault",
            f"{error.filename} cannot be read: {error.strerror}",
            "run this command as the user that runs Vigie",
        )
        return
    yield DoctorFinding(
        "secrets",
        "fault" if open_to_others else "ok",
        f"other users may read {', '.join(sorted(open_to_others))}"
        if open_to_others
        else "only the owner may read them",
        f"chmod -R go= {data.secrets}" if open_to_others else "",
    )
    if (data.secrets / "admin.code").exists():
        yield DoctorFinding(
            "first login",
            "warning",
            "the one-time administrator code has not been used",
            f"log in with {data.secrets / 'admin.code'}",
        )


def check_listening(settings: Settings) -> Iterator[DoctorFinding]:
    """Check that Vigie listens beyond this machine only with TLS."""
    running = read_status(settings.data.status) if is_locked(settings.data.lock) else None
    address = (running or {}).get("http") or settings.http
    host, _ = split_host_port(address)
    outside = not host.startswith(LOOPBACK)
    yield DoctorFinding(
        "listening",
        "warning" if outside else "ok",
        f"plain HTTP on {address}",
        "passwords can be read on that network: set VIGIE_TLS_HTTP, or use a proxy with TLS"
        if outside
        else "",
    )


def check_proxy() -> Iterator[DoctorFinding]:
    """Check that logins pass a reverse proxy that rewrites the header `Host`."""
    from services.intake.settings import IntakeSettings
    from services.runtime.identity.oidc_settings import OidcSettings

    proxies, public_url = IntakeSettings().proxies, OidcSettings().public_url
    if proxies:
        yield DoctorFinding(
            "proxy",
            "ok" if public_url else "warning",
            f"{proxies}, browsers at {public_url or 'an address that is not set'}",
            ""
            if public_url
            else "set VIGIE_PUBLIC_URL to the address in the browser's bar: a proxy that rewrites "
            "Host (and sends no X-Forwarded-Host) blocks logins over plain HTTP",
        )


def check_days_off(settings: Settings) -> Iterator[DoctorFinding]:
    """Check the loaded days off, on which clocks of offices and schools stand still."""
    try:
        policy = load_current_territory(settings.territory).policy
    except TerritoryInvalid:
        yield DoctorFinding(
            "days off",
            "fault",
            f"{settings.territory} cannot be read",
            f"vigie territory check {settings.territory}",
        )
        return
    wrong = list(list_calendar_warnings(policy, datetime.now(PARIS).date()))
    yield from (
        DoctorFinding(
            "days off", "warning", warning, _tell_how_to_load_days_off(settings.territory)
        )
        for warning in wrong
    )
    if not wrong:
        yield DoctorFinding("days off", "ok", "public and school holidays are loaded")


def _tell_how_to_load_days_off(territory: Path) -> str:
    if territory.is_relative_to(IN_WHEEL):
        return (
            "vigie territory copy FOLDER, then set VIGIE_TERRITORY: "
            "an upgrade replaces the installed one"
        )
    return f"vigie territory holidays {territory}"


async def check_broker(settings: Settings) -> list[DoctorFinding]:
    """Check that the broker answers, its topics are right and its clock agrees."""
    from aiokafka.errors import KafkaError

    from services.appliance.cluster.control import ClusterRefused
    from services.runtime.kafka.topics import BrokerUnreachable, list_differences
    from services.runtime.worker.lag import read_system_progress

    if not settings.kafka:
        return [
            DoctorFinding(
                "broker", "fault", "none is known", "start `vigie up`, or set VIGIE_KAFKA"
            )
        ]
    try:
        copies = await _count_copies(settings)
        wrong = await list_differences(settings.kafka, replication=copies)
        newest = (await read_system_progress(settings.kafka)).newest_at
    except (BrokerUnreachable, ClusterRefused, KafkaError, OSError) as error:
        return [
            DoctorFinding(
                "broker",
                "fault",
                f"{settings.kafka} does not answer ({error})",
                "see `vigie status` and the broker's log",
            )
        ]
    doctor_findings = [DoctorFinding("broker", "ok", f"{settings.kafka} answers")]
    doctor_findings.append(
        DoctorFinding(
            "topics",
            "fault",
            "; ".join(wrong),
            "docs/how-to/something-is-wrong.md, It does not start",
        )
        if wrong
        else DoctorFinding("topics", "ok", "partitions and retention are correct")
    )
    for fault in find_clock_faults(newest, time.time() * 1000):
        what, _, act = fault.partition(": ")
        doctor_findings.append(DoctorFinding("clocks", "fault", what, act))
    if not find_clock_faults(newest, time.time() * 1000):
        doctor_findings.append(DoctorFinding("clocks", "ok", "no record comes from the future"))
    if copies == 1:
        doctor_findings.append(
            DoctorFinding(
                "copies",
                "warning",
                "the log has one copy: it is lost with this disk",
                "make backups, or use three machines (docs/how-to/three-machines.md)",
            )
        )
    return doctor_findings


async def _count_copies(settings: Settings) -> int:
    """Return how many copies the topics rely on; a cluster is asked.

    A machine that is stuck at its start knows no number yet, and takes one. Raises ClusterRefused,
    KafkaError, OSError.
    """
    from services.appliance.cluster.control import ClusterControl
    from services.appliance.cluster.keeper import find_replication
    from services.runtime.process.cluster import read_member

    member = read_member(settings.data.secrets)
    if member is None or not member.uses(settings.kafka):
        return settings.kafka_replication
    async with ClusterControl(settings.kafka) as control:
        return await find_replication(control)


async def check_certificates(settings: Settings) -> list[DoctorFinding]:
    """Check that no certificate of a broker ends soon. Finds nothing without TLS."""
    from services.runtime.kafka.broker_certificate import (
        WARNING_DAYS,
        count_days,
        describe_end,
        find_first_end,
    )
    from services.runtime.kafka.security import get_security
    from services.runtime.process.cluster import read_member

    security = get_security()
    if not settings.kafka or not security.tls:
        return []
    end = await find_first_end(settings.kafka.split(","), security.ca)
    if end is None:
        return []  # The check of the broker tells why
    days = count_days(end)
    soon = days < WARNING_DAYS
    is_own = read_member(settings.data.secrets) is not None
    act = (
        "Vigie should have renewed it: find the machine with `vigie cluster status`, see its log"
        if is_own
        else "renew the certificate of your broker"
    )
    return [
        DoctorFinding(
            "certificates",
            "fault" if days < 0 else "warning" if soon else "ok",
            f"the first one of a broker or its authority {describe_end(days)}",
            act if soon else "",
        )
    ]


async def check_front_certificate(_: Settings) -> list[DoctorFinding]:
    """Check that the certificate of the front does not end soon: the one that it shows now.

    The front reads its file at a start, so a renewed one may not be shown yet.
    """
    from services.intake.settings import IntakeSettings
    from services.runtime.kafka.broker_certificate import (
        count_days,
        describe_end,
        fetch_certificate,
        read_certificate,
    )

    front = IntakeSettings()
    if front.tls_cert is None:
        return []
    renewed = read_certificate(front.tls_cert)
    try:
        certificate = await fetch_certificate(front.tls_http)
    except (OSError, TimeoutError):
        certificate = renewed
    days = count_days(certificate.not_valid_after_utc)
    is_old = renewed.not_valid_after_utc > certificate.not_valid_after_utc
    soon = days < FRONT_CERTIFICATE_DAYS
    act = "restart Vigie" if is_old else f"renew {front.tls_cert}, then restart Vigie"
    return [
        DoctorFinding(
            "front certificate",
            "fault" if days < 0 else "warning" if soon or is_old else "ok",
            f"the one that browsers see on {front.tls_http} {describe_end(days)}"
            + (f", {front.tls_cert} is newer" if is_old else ""),
            act if soon or is_old else "",
        )
    ]


async def check_store(settings: Settings) -> list[DoctorFinding]:
    """Check that the store answers and evicts nothing by itself."""
    from redis.exceptions import RedisError

    from services.console.read_model import store

    if not settings.redis:
        return [
            DoctorFinding("store", "fault", "none is known", "start `vigie up`, or set VIGIE_REDIS")
        ]
    client = store.connect(settings.redis)
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "")
        live = await client.get(store.STATE) == b"live"
    except (RedisError, OSError) as error:
        return [
            DoctorFinding(
                "store",
                "fault",
                f"does not answer ({error})",
                "pages are unavailable, reports are accepted: see `vigie status`",
            )
        ]
    finally:
        await client.aclose()
    doctor_findings = [
        DoctorFinding(
            "store",
            "ok" if live else "warning",
            "the read model is complete" if live else "the read model is being rebuilt",
            "",
        )
    ]
    if policy not in ("noeviction", b"noeviction"):
        doctor_findings.append(
            DoctorFinding(
                "store policy",
                "fault",
                f"maxmemory-policy is {policy}",
                "set noeviction: otherwise rows disappear unnoticed",
            )
        )
    return doctor_findings


def check_accounts(settings: Settings) -> Iterator[DoctorFinding]:
    """Check second factors and tokens; say why they cannot be read, as on a read-only disk."""
    try:
        yield from check_second_factors(settings)
        yield from ending_tokens(settings)
    except MasterKeyInvalid:
        return  # The check of the keys says so
    except OSError as error:
        yield DoctorFinding(
            "accounts",
            "fault",
            f"they cannot be read: {error.strerror} ({error.filename})",
            "mount the disk for writing, or give the folder to the user that runs Vigie",
        )


def check_second_factors(settings: Settings) -> Iterator[DoctorFinding]:
    """Find accounts that need a second factor and have none."""
    from services.runtime.identity.accounts import AccessStore
    from services.runtime.identity.principals import Account

    vault_file = settings.data.root / "vault" / "access-intake.json"
    if not vault_file.is_file() or not (settings.data.secrets / "master.key").is_file():
        return
    if settings.second_factor != "required":
        yield DoctorFinding(
            "second factor",
            "warning",
            "VIGIE_SECOND_FACTOR=optional: a password alone opens every account",
            "remove the variable",
        )
        return
    access = AccessStore.open(settings, "intake")
    lacking = sorted(
        a.login
        for a in access.all(Account)
        if not a.passkeys and access.lacks_second_factor(a) and access.principal(a.id)
    )
    yield DoctorFinding(
        "second factor",
        "warning" if lacking else "ok",
        f"accounts without one ({len(lacking)}): {', '.join(lacking[:20])}"
        if lacking
        else "all accounts that need one have one",
        "their users add one at the next login (docs/how-to/accounts-and-tokens.md)"
        if lacking
        else "",
    )


def ending_tokens(settings: Settings, now_ms: int | None = None) -> Iterator[DoctorFinding]:
    """Name the tokens that end soon, or ended lately: reports with one are then refused."""
    from services.runtime.identity.accounts import AccessStore
    from services.runtime.identity.principals import Token

    vault_file = settings.data.root / "vault" / "access-intake.json"
    if not vault_file.is_file() or not (settings.data.secrets / "master.key").is_file():
        return
    access, now = (
        AccessStore.open(settings, "intake"),
        time.time_ns() // 1_000_000 if now_ms is None else now_ms,
    )
    ending = [
        token
        for token in access.all(Token)
        if token.expires_at is not None
        and token.revoked_at is None
        and abs(token.expires_at - now) < ENDS_SOON_DAYS * DAY_MS
        if access.principal(token.principal) is not None
    ]
    days = [
        f"{t.id} of {t.principal} on {datetime.fromtimestamp(t.expires_at / 1000, PARIS):%Y-%m-%d}"
        for t in ending
        if t.expires_at
    ]
    yield DoctorFinding(
        "tokens",
        "warning" if ending else "ok",
        f"expire soon or have expired ({len(ending)}): {', '.join(sorted(days)[:20])}"
        if ending
        else "none expires within a month",
        "`vigie token rotate` makes a new one" if ending else "",
    )


def check_channels(settings: Settings) -> Iterator[DoctorFinding]:
    """Check that somebody can be reached: by the running service, else by these settings.

    A shell seldom has the settings of the unit that runs Vigie.
    """
    from pydantic import ValidationError

    from services.delivery.channels.configured import (
        ProviderPlan,
        find_faults,
        list_configured_channels,
    )
    from services.delivery.settings import DeliverySettings

    running = fetch_running_channels(settings)
    try:
        own = DeliverySettings()
    except ValidationError as error:
        yield DoctorFinding(
            "channels",
            "fault",
            describe_wrong_variables(error) or str(error),
            "see `vigie channels`",
        )
        return
    own_names = frozenset(c.value for c in list_configured_channels(own))
    channel_names = sorted(own_names if running is None else running)
    place = (
        "by the settings of this command, as no running delivery answers"
        if running is None
        else "in the running delivery"
    )
    state: State = "fault" if not channel_names else "warning" if len(channel_names) == 1 else "ok"
    act = (
        ""
        if state == "ok"
        else (
            "configure two channels at least (docs/how-to/send-messages.md): one of them will be "
            "what failed"
        )
    )
    yield DoctorFinding(
        "channels",
        state,
        f"{', '.join(channel_names) or 'none, nobody can be called'} ({place})",
        act,
    )
    if running is not None and own_names != running:
        yield DoctorFinding(
            "settings",
            "warning",
            f"this command has other channels than the running delivery: "
            f"{', '.join(sorted(own_names)) or 'none'}",
            "start it as the unit does to check the values of the settings, too "
            "(docs/how-to/something-is-wrong.md)",
        )
    national = (("", channel, fault) for channel, fault in find_faults(own))
    for realm, in_channel, fault in (*national, *ProviderPlan.read(own).realm_faults()):
        name = "channels" if in_channel is None else f"channel {in_channel.value}"
        yield DoctorFinding(
            f"{name} of {realm}" if realm else name,
            "fault" if fault.error else "warning",
            f"{fault.variable} {fault.what}",
            "see `vigie channels`",
        )


def check_messages(settings: Settings) -> Iterator[DoctorFinding]:
    """Find messages that reached nobody and are still needed: a provider may refuse all of them."""
    from services.console.i18n import get_translator
    from services.console.texts.words import find_delivery_reason

    if not is_locked(settings.data.lock):
        return
    try:
        with ApiClient(settings, CHECK_TIMEOUT_S) as client:
            failed = client.get("/api/v1/notifications?state=failed")["items"]
    except (VigieUnreachable, ApiRefused, OSError):
        return  # `vigie status` says why
    translator = get_translator("en")
    codes = [n["why"] or "unknown" for n in failed]
    reasons = Counter(find_delivery_reason(code, translator) or code for code in codes)
    listed = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(5))
    yield DoctorFinding(
        "messages",
        "warning" if failed else "ok",
        f"{len(failed)} reached nobody: {listed}" if failed else "none has failed on every channel",
        "docs/how-to/something-is-wrong.md, Calls; then `vigie resend --dead`" if failed else "",
    )


async def run_checks(settings: Settings) -> list[DoctorFinding]:
    """Run every check, in order of dependency; an exception of one ends no other."""
    doctor_findings: list[DoctorFinding] = []
    local: dict[str, Callable[[], Iterable[DoctorFinding]]] = {
        "setting": lambda: check_variables(os.environ),
        "listening": lambda: check_listening(settings),
        "proxy": check_proxy,
        "days off": lambda: check_days_off(settings),
    }
    if settings.data.run.is_dir():
        local = {
            "restore": lambda: check_restore(settings.data),
            "disk": lambda: check_disk(settings.data),
            "secrets": lambda: check_secrets(settings.data),
            "keys": lambda: [check_keys(settings.data)],
            "accounts": lambda: check_accounts(settings),
        } | local
    else:
        doctor_findings.append(
            DoctorFinding(
                "data directory",
                "warning",
                f"{settings.data_dir} has not been used yet",
                "start `vigie up` once",
            )
        )
    remote: dict[str, Callable[[Settings], Awaitable[list[DoctorFinding]]]] = {
        "broker": check_broker,
        "certificates": check_certificates,
        "front certificate": check_front_certificate,
        "store": check_store,
    }
    for name, check in local.items():
        with _guard(name, doctor_findings):
            doctor_findings.extend(check())
    for name, ask in remote.items():
        with _guard(name, doctor_findings):
            doctor_findings.extend(await asyncio.wait_for(ask(settings), CHECK_TIMEOUT_S))
    with _guard("channels", doctor_findings):
        doctor_findings.extend(check_channels(settings))
    with _guard("messages", doctor_findings):
        doctor_findings.extend(check_messages(settings))
    return doctor_findings


@contextmanager
def _guard(name: str, doctor_findings: list[DoctorFinding]) -> Iterator[None]:
    """Turn an exception of a check into a fault, without the values of settings."""
    from pydantic import ValidationError

    try:
        yield
    except TimeoutError:
        result, act = f"no answer within {CHECK_TIMEOUT_S:g} s", "see `vigie status`"
        doctor_findings.append(DoctorFinding(name, "fault", result, act))
    except Exception as error:  # noqa: BLE001  any exception of one check; the rest goes on
        reason = (
            describe_wrong_variables(error) or f"{error.error_count()} values refused"
            if isinstance(error, ValidationError)
            else f"{type(error).__name__}, {error}"
        )
        doctor_findings.append(DoctorFinding(name, "fault", f"check failed: {reason}"))


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Check disk, clocks, broker, store, channels and unsafe settings.

    Exits with 1 on a fault, with 0 on warnings alone.
    """
    with show_progress("Checking disk, clocks, broker and channels …"):
        findings = asyncio.run(run_checks(Settings()))
    if as_json:
        print_json({"items": [asdict(f) for f in findings]})
    else:
        _show_results(findings)
    if any(f.state == "fault" for f in findings):
        raise typer.Exit(1)


def _show_results(findings: list[DoctorFinding]) -> None:
    from rich.markup import escape

    console = open_console(markup=True)
    colours = {"ok": "green", "warning": "yellow", "fault": "red"}
    for f in findings:
        console.print(
            f"[{colours[f.state]}]{f.state:8}[/] [bold]{f.check}[/]: {escape(f.result)}",
            highlight=False,
        )
        if f.act:
            console.print(f"         {escape(f.act)}", highlight=False)
