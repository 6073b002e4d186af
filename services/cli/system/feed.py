"""`vigie feed`: official feeds, which Vigie reads by itself.

`vigie feed demo` plays the shipped samples into an exercise of their own. The source of its reports
is registered at the front.
"""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from aiohttp import web
from rich.table import Table
from rich.text import Text

from schemas.catalogue.sources import FeedList, FeedStatus
from services.cli.client import ApiClient, ApiRefused, VigieUnreachable, print_error
from services.cli.lists import AsJson, build_query
from services.cli.output import create_group, open_console, print_json, strip_controls
from services.cli.system.token import wait_until_accepted
from services.console.feeds.resources import read_feeds
from services.runtime.process.settings import SHIPPED, Settings
from services.runtime.secrets.keyring import write_private
from services.watch.connector import FeedSpec, UnknownFeed, find_connector, list_connectors
from services.watch.engine import ALIVE_TYPE
from services.watch.front import get_source_key_file
from services.watch.process import WatchSettings
from services.watch.samples import TrialResult, create_sample_app, list_sampled_feeds, try_feed
from services.watch.store import FeedStore, describe_feeds
from services.watch.transport import KeyMissing, read_key
from services.watch.watched import WatchedUnreadable, load_watched

SAMPLES: Final = SHIPPED / "scenarios" / "feeds"
"""Saved bodies that the product ships."""
PREFIX: Final = "exemple-"
TITLE: Final = "FLUX"
PATIENCE_S: Final = 120.0
PAUSE_S: Final = 0.5
PASSING: Final = frozenset({404, 502, 503, 504})
"""Refusals that pass: the realm is not known yet, or nobody answered in time."""
RUNS_MINUTES: Final = 30 * 1440
"""Time for which the clock of the exercise runs."""
Feed = Annotated[str, typer.Argument(help="Name of the feed, as in `vigie feed list`")]
STATES: Final = {
    "": "pas encore lu",
    "ok": "lu",
    "unchanged": "lu, sans changement",
    "drift": "format inattendu",
    "stale": "périmé à la source",
    "refused": "illisible",
    "retry": "injoignable",
    "auth": "clé refusée",
}
_YEARS: Final = range(2000, 2200)
"""Years of a trial; a second look a minute after the last one would have no date."""


def register_source(
    settings: WatchSettings, spec: FeedSpec, realm: str | None, name: str | None = None
) -> None:
    """Make the source of a feed ready. May run twice; the key is written before it counts.

    Raises VigieUnreachable, ApiRefused, OSError.
    """
    source = name or spec.name
    file = get_source_key_file(settings.feed_keys, spec.name)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ApiClient(settings) as client:
        exists = any(item["name"] == source for item in list_sources(client))
        if exists and not file.exists():
            raise OSError(f"the source {source} exists, but its key is not in {file}")
        if not file.exists():
            write_private(file, secrets.token_urlsafe(32).encode(), replace=True)
        key = file.read_text(encoding="ascii").strip()
        if exists:
            client.post(f"/api/v1/sources/{quote(source, safe='')}/enable", {})
        else:
            client.post("/api/v1/sources", build_source(spec, key, realm) | {"name": source})
    wait_until_accepted(settings, key)


def build_source(spec: FeedSpec, key: str, realm: str | None) -> dict[str, Any]:
    """Return the source of a feed: its own types only, and a sign of life that is dropped."""
    return {
        "name": spec.name,
        "dialect": "cloudevents",
        "key": key,
        "speaks_as": spec.speaks_as,
        "speaks_for": [],
        "heartbeat_s": spec.heartbeat_s,
        "rules": [{"when": {"ce.type": ALIVE_TYPE.replace(".", r"\.")}, "drop": True}],
        "scope": {"sites": [], "types": list(spec.types), "realms": [realm] if realm else []},
    }


def list_sources(client: ApiClient) -> list[dict[str, Any]]:
    """Return all sources, page after page."""
    sources: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"/api/v1/sources{build_query(None, None, cursor=cursor or None)}")
        sources += page["items"]
        cursor = page["next"]
    return sources


def open_feed_demo(settings: WatchSettings, folder: Path = SAMPLES) -> str:
    """Open an exercise in true time and switch its feeds on; return its name.

    The sources of an earlier demonstration stop, and its state is forgotten. Feeds of publishers
    keep their own state and keys. Raises VigieUnreachable, ApiRefused, OSError.
    """
    run = secrets.token_hex(3)
    realm = f"{settings.territory.name}~ex-flux-{run}"
    store = FeedStore(settings.feed_store)
    try:
        store.forget()
        with ApiClient(settings) as client:
            _open_realm(client, realm)
            insist(lambda: _stop_sources(client))
        now = datetime.now(UTC).timestamp()
        names = list_sampled_feeds(folder)
        for spec in [c.spec for c in list_connectors() if c.spec.name in names]:
            get_source_key_file(settings.feed_keys, spec.name).unlink(missing_ok=True)
            source = f"{PREFIX}{spec.name}-{run}"
            insist(partial(register_source, settings, spec, realm, source))
            store.enable(spec.name, now, enabled=True)
    finally:
        store.close()
    return realm


def insist(ask: Callable[[], object]) -> None:
    """Repeat a request while Vigie is starting or overloaded; it has to be repeatable.

    Raises VigieUnreachable, ApiRefused.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask()
            return
        except (VigieUnreachable, ApiRefused) as error:
            passing = isinstance(error, VigieUnreachable) or error.status in PASSING
            if not passing or time.monotonic() > end:
                raise
        time.sleep(PAUSE_S)


def _open_realm(client: ApiClient, realm: str) -> None:
    body = {
        "id": realm,
        "kind": "exercise",
        "title_code": TITLE,
        "started_at": datetime.now(UTC).isoformat(),
        "speed": 1.0,
    }
    open_headers = {"Idempotency-Key": f"open:{realm}"}
    insist(lambda: client.call("POST", "/api/v1/realms", body, open_headers))
    # The answer comes once the clock is there, which nobody waits for.
    path, run = f"/api/v1/realms/{realm}/step", {"minutes": RUNS_MINUTES}
    step_headers = {"Idempotency-Key": f"run:{realm}", "Prefer": "wait=1"}
    insist(lambda: client.call("POST", path, run, step_headers))


def _stop_sources(client: ApiClient) -> None:
    for item in list_sources(client):
        if item["name"].startswith(PREFIX) and item["enabled"]:
            client.post(f"/api/v1/sources/{quote(item['name'], safe='')}/disable", {})


app = create_group("Official feeds: list, enable, disable, try, serve samples.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the feeds: state, last edition, staleness."""
    settings, now = WatchSettings(), datetime.now(UTC)
    feed_list = _find_played(settings, now)
    if feed_list is None:
        store = FeedStore(settings.feed_store)
        try:
            feed_list = describe_feeds(store, now, samples=bool(settings.feeds_samples))
        finally:
            store.close()
    if as_json:
        items = [
            item.model_dump(mode="json") | {"late": item.is_late(now)} for item in feed_list.items
        ]
        document = {"samples": feed_list.samples, "items": items}
        print_json(document)
        return
    if feed_list.samples:
        typer.echo("démonstration : exemples rejoués, aucun éditeur n’est consulté")
    is_shared = any(item.read_by for item in feed_list.items)
    columns = ("flux", "état", "édition", "âge", "périmé après", "dernier mot")
    table = Table(*columns, *(("lu par",) if is_shared else ()))
    for item in feed_list.items:
        table.add_row(
            item.name,
            _write_state(item, now),
            item.edition,
            _write_age(item.edition_at, now),
            _write_duration(item.stale_after_s) if item.stale_after_s else "",
            strip_controls(item.word),
            *((item.read_by if item.enabled else "",) if is_shared else ()),
        )
    open_console().print(table)
    for item in feed_list.items:
        if item.enabled and item.fault:
            typer.secho(f"{item.name} : {strip_controls(item.fault)}", fg="yellow")
    if not any(item.enabled for item in feed_list.items):
        typer.echo("aucun flux n’est en marche : vigie feed enable FLUX")


def _find_played(settings: WatchSettings, now: datetime) -> FeedList | None:
    """Return the state that the running watch wrote, if it plays samples."""
    feed_list = read_feeds(settings.data.feed_status, now)
    return feed_list if feed_list is not None and feed_list.samples else None


def _refuse_while_played(settings: WatchSettings) -> None:
    """Refuse to switch feeds of publishers while the running watch plays samples."""
    if not settings.feeds_samples and _find_played(settings, datetime.now(UTC)) is not None:
        raise print_error("samples are played in place of the feeds: start Vigie without --demo")


def _write_state(item: FeedStatus, now: datetime) -> Text:
    if not item.enabled:
        return Text("arrêté", "dim")
    state = STATES.get(item.verdict, item.verdict)
    if item.is_late(now):
        return Text(f"muet ({state})", "red")
    return Text(state)


def _write_age(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    return _write_duration(max(0, round((now - at).total_seconds())))


def _write_duration(seconds: int) -> str:
    """Write minutes below two hours, hours below two days, else days."""
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} j"


@app.command()
def enable(
    feed: Feed,
    realm: Annotated[
        str | None, typer.Option(help="Realm to report to, e.g. an exercise; default: the live one")
    ] = None,
) -> None:
    """Switch a feed on: register its source, then read it from now on."""
    settings, spec = WatchSettings(), _find_spec(feed)
    _refuse_while_played(settings)
    if spec.key is not None and not settings.feeds_samples:
        try:
            read_key(settings.feed_keys, feed)
        except KeyMissing as error:
            place = settings.feed_keys / f"{feed}.key"
            raise print_error(
                f"{feed} needs a key of its publisher: put it into {place}"
            ) from error
    try:
        register_source(settings, spec, realm)
    except (VigieUnreachable, ApiRefused, OSError) as error:
        raise print_error(error) from error
    _switch(settings, feed, enabled=True)
    typer.echo(f"{feed} : en marche, toutes les {spec.poll_s // 60} min")


@app.command()
def disable(feed: Feed) -> None:
    """Switch a feed off: it is no longer read, and its source stops."""
    settings, spec = WatchSettings(), _find_spec(feed)
    _refuse_while_played(settings)
    _switch(settings, feed, enabled=False)
    typer.echo(f"{feed} : arrêté")
    try:
        with ApiClient(settings) as client:
            if any(item["name"] == spec.name for item in list_sources(client)):
                client.post(f"/api/v1/sources/{quote(spec.name, safe='')}/disable", {})
    except (VigieUnreachable, ApiRefused) as error:
        typer.secho(f"sa source reste : vigie source disable {feed}", err=True, fg="yellow")
        raise print_error(error) from error


@app.command("try")
def try_(
    feed: Feed,
    file: Annotated[Path, typer.Option(help="Saved body; `http-*.json` is an envelope")],
    at: Annotated[str, typer.Option(help="Time of the fetch, e.g. 2027-01-12T15:06:00Z")],
    after: Annotated[list[Path] | None, typer.Option(help="Saved bodies that came before")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a saved body without network or broker, and show the verdict and the posts."""
    _find_spec(feed)
    time = _parse_fetch_time(at)
    try:
        territory = load_watched(Settings().territory)
        trial_result = try_feed(find_connector(feed), file, after or (), time, territory)
    except OSError as error:
        raise print_error(f"{error.filename}: {error.strerror}") from error
    except (ValueError, WatchedUnreadable) as error:
        raise print_error(str(error)) from error
    if as_json:
        print_json(trial_result.dump())
        return
    _print_trial(trial_result)


def _parse_fetch_time(text: str) -> datetime:
    """Parse an ISO time with an offset. Raises typer.Exit."""
    example = "a time with an offset is expected, such as 2027-01-12T15:06:00Z"
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise print_error(f"--at {text}: {example}") from error
    if time.tzinfo is None or time.year not in _YEARS:
        raise print_error(f"--at {text}: {example}")
    return time


def _print_trial(trial: TrialResult) -> None:
    why = f" ({'; '.join(trial.faults)})" if trial.faults else ""
    typer.echo(f"{trial.verdict.value}{why}")
    for post in trial.posts:
        body = post.body
        words = (body.get("msg_type", "Alert"), body["type"], f"severity {body['severity']}")
        typer.echo(f"  {post.key}: {', '.join(words)}: {body.get('headline', '')}")


@app.command("serve-samples")
def serve_samples(
    folder: Annotated[Path, typer.Argument(help="Folder with a folder of saved bodies per feed")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1", min=1, max=65_535)],
) -> None:
    """Serve saved bodies on loopback, one after the other, with times moved to now."""
    if not list_sampled_feeds(folder):
        raise print_error(f"{folder}: no folder named after a feed")
    typer.echo(f"VIGIE_FEEDS_SAMPLES=http://127.0.0.1:{port}")
    _serve(folder, port)


@app.command()
def demo(
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1", min=1, max=65_535)] = None,
    folder: Annotated[
        Path, typer.Option(help="Folder with a folder of saved bodies per feed")
    ] = SAMPLES,
) -> None:
    """Play the shipped samples into a new exercise, until Ctrl-C (part of `vigie up --demo`).

    The watch must read from here: VIGIE_FEEDS_SAMPLES=http://127.0.0.1:PORT.
    """
    settings = WatchSettings()
    own = settings.feeds_samples.rpartition(":")[2]
    chosen_port = port or (int(own) if own else None)
    if chosen_port is None or settings.feeds_samples != f"http://127.0.0.1:{chosen_port}":
        raise print_error("set VIGIE_FEEDS_SAMPLES=http://127.0.0.1:PORT, here and for Vigie")
    try:
        realm = open_feed_demo(settings, folder)
    except (VigieUnreachable, ApiRefused, OSError) as error:
        raise print_error(error) from error
    typer.echo(f"{realm} : {len(list_sampled_feeds(folder))} flux, http://127.0.0.1:{chosen_port}")
    _serve(folder, chosen_port)


def _serve(folder: Path, port: int) -> None:
    """Serve the samples until a signal. Open connections of the watch are not waited for."""
    web.run_app(
        create_sample_app(folder),
        host="127.0.0.1",
        port=port,
        print=None,
        access_log=None,
        shutdown_timeout=1.0,
    )


def _switch(settings: WatchSettings, feed: str, *, enabled: bool) -> None:
    store = FeedStore(settings.feed_store)
    try:
        store.enable(feed, datetime.now(UTC).timestamp(), enabled=enabled)
    finally:
        store.close()


def _find_spec(feed: str) -> FeedSpec:
    try:
        return find_connector(feed).spec
    except UnknownFeed as error:
        names = ", ".join(connector.spec.name for connector in list_connectors())
        raise typer.BadParameter(f"no feed {feed!r}; there are {names}") from error
