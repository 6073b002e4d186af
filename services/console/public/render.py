"""Write a published page as HTML, JSON, Atom and plain language, each below 30 KiB. Pure. Rule D96.

A document that is too long for a format is written with less detail: first without the names of
open places, then without substitutes, last with counts by commune.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache, partial
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5
from xml.sax.saxutils import escape

import orjson
from markupsafe import Markup

from schemas.base import Instant
from services.console.i18n import LANGUAGES, N_, SOURCE, Translator, get_translator
from services.console.public.document import (
    PublicPlace,
    PublicServicePlaces,
    PublicStatus,
    ServicesDocument,
)
from services.console.web import times
from services.console.web.shell import STATIC, DisplayChoice, render_html
from services.runtime.secrets.signing import SigningKey

MAX_BYTES: Final = 30 * 1024 - 1
"""Largest size of each file of the public page."""
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "signing.pub"


class Detail(IntEnum):
    """Detail of a file, the most first."""

    ALL = 0
    OPEN_COUNTED = 1
    WITHOUT_SUBSTITUTES = 2
    BY_COMMUNE = 3


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A document with the number and the time of its publication."""

    document: ServicesDocument
    number: int
    published_at: Instant


@dataclass(frozen=True, slots=True)
class PublicFile:
    """One file that needs no account."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ServiceLines:
    """Places of one service in one state, as lines; `count` holds all of them."""

    name: str
    count: int
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class StatusSection:
    """All services with places in one state."""

    status: PublicStatus
    title: str
    lead: str
    services: Sequence[ServiceLines]


_TITLES: Final = {
    PublicStatus.CLOSED: (N_("Lieux fermés"), N_("Ces lieux sont fermés. N’y allez pas.")),
    PublicStatus.DEGRADED: (
        N_("Lieux ouverts en partie"),
        N_("Une partie du service n’est pas assurée."),
    ),
    PublicStatus.OPEN: (N_("Lieux ouverts"), N_("Ces lieux sont ouverts aux horaires habituels.")),
}


def build_sections(
    document: ServicesDocument, detail: Detail, _: Translator
) -> list[StatusSection]:
    """Build the sections of a page: closed places first; empty ones are left out."""
    sections = []
    for status, (title, lead) in _TITLES.items():
        services = [
            ServiceLines(
                service.name if _.lang == SOURCE else service.name_en,
                len(places),
                _list_lines(places, status, detail, _),
            )
            for service in document.services
            if (places := service.list_places(status))
        ]
        if services:
            sections.append(StatusSection(status, _(title), _(lead), services))
    return sections


def _list_lines(
    places: Sequence[PublicPlace], status: PublicStatus, detail: Detail, _: Translator
) -> list[str]:
    if status is PublicStatus.OPEN and detail >= Detail.OPEN_COUNTED:
        return []
    if detail is Detail.BY_COMMUNE:
        return [_("{commune} : {n}", commune=c, n=n) for c, n in _count_communes(places).items()]
    lines = []
    for place in places:
        line = _("{place}, {commune}", place=place.name, commune=place.commune)
        if place.instead is not None and detail < Detail.WITHOUT_SUBSTITUTES:
            line = _("{line}. Allez à : {instead}", line=line, instead=place.instead)
        lines.append(line)
    return lines


def _count_communes(places: Sequence[PublicPlace]) -> Counter[str]:
    return Counter(place.commune for place in places)


def write_title(document: ServicesDocument, _: Translator) -> str:
    title = _("Services du Département : ce qui est ouvert, ce qui est fermé")
    return f"{_('EXERCICE')} – {title}" if document.exercise else title


def write_times(as_of: Instant, next_at: Instant | None, _: Translator) -> list[str]:
    """Return the sentences about the last and the next update."""
    lines = [_("Mis à jour le {day} à {at}.", **_name_time(as_of, _))]
    if next_at is not None:
        lines.append(_("Prochaine mise à jour le {day} à {at}.", **_name_time(next_at, _)))
    return lines


def _name_time(at: Instant, _: Translator) -> dict[str, str]:
    moment = times.of(at)
    return {"day": times.day_long(moment, _.lang), "at": times.hm(moment)}


@cache
def load_style() -> tuple[Markup, str]:
    """Return the style of the public pages, and the content policy that allows it alone."""
    style = (STATIC / "css" / "public.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )
    return Markup(f"<style>{style}</style>"), policy  # noqa: S704  our own file


def render_page(version: PublishedVersion | None, lang: str, detail: Detail) -> bytes:
    """Render the HTML page; without a version it says that nothing is published."""
    _ = get_translator(lang)
    document = version.document if version is not None else None
    context: dict[str, Any] = {
        "style": load_style()[0],
        "document": document,
        "number": version.number if version is not None else None,
        "sections": build_sections(document, detail, _) if document is not None else [],
        "title": write_title(document, _) if document is not None else _("Services du Département"),
        "times_told": write_times(document.as_of, document.next_at, _)
        if document is not None
        else [],
        "other_lang": next(one for one in LANGUAGES if one != lang),
    }
    return render_html("public/page.html", context, DisplayChoice(lang, None))


def write_plain_text(version: PublishedVersion, lang: str, detail: Detail) -> bytes:
    """Write the page in plain language (FALC): short sentences, one fact a line."""
    _, document = get_translator(lang), version.document
    lines = [write_title(document, _), "", *write_times(document.as_of, document.next_at, _), ""]
    if document.exercise:
        lines[1:1] = [_("C’est un exercice. Rien de ceci n’est vrai.")]
    sections = build_sections(document, detail, _)
    if not any(section.status is not PublicStatus.OPEN for section in sections):
        lines += [_("Aucun lieu n’est fermé."), ""]
    for section in sections:
        lines += [section.title.upper(), section.lead, ""]
        for service in section.services:
            lines += [_("{service} : {n}", service=service.name, n=service.count)]
            lines += [*(f"- {line}." for line in service.lines), ""]
    lines.append(_("Un lieu n’est pas cité ? Demandez avant de venir."))
    if document.phone:
        lines.append(_("Téléphone : {phone}.", phone=document.phone))
    lines += [_("En danger, appelez le 112."), ""]
    return "\n".join(lines).encode()


def write_json(version: PublishedVersion, detail: Detail) -> bytes:
    """Write the page for programs: services with their places by state."""
    document = version.document
    body = {
        "format": document.format,
        "territory": document.territory,
        "exercise": document.exercise,
        "version": version.number,
        "updated": times.of(document.as_of).isoformat(timespec="seconds"),
        "next_update": None
        if document.next_at is None
        else times.of(document.next_at).isoformat(timespec="seconds"),
        "phone": document.phone,
        "services": [_describe_service(service, detail) for service in document.services],
    }
    return orjson.dumps(body)


def _describe_service(service: PublicServicePlaces, detail: Detail) -> dict[str, Any]:
    described: dict[str, Any] = {"name": service.name, "name_en": service.name_en, "counts": {}}
    for status in PublicStatus:
        places = service.list_places(status)
        described["counts"][status.value] = len(places)
        if status is PublicStatus.OPEN and detail >= Detail.OPEN_COUNTED:
            continue
        if detail is Detail.BY_COMMUNE:
            described[f"{status.value}_by_commune"] = dict(_count_communes(places))
            continue
        described[status.value] = [
            {"name": place.name, "commune": place.commune}
            | (
                {"instead": place.instead}
                if place.instead is not None and detail < Detail.WITHOUT_SUBSTITUTES
                else {}
            )
            for place in places
        ]
    return described


def write_atom(version: PublishedVersion, detail: Detail) -> bytes:
    """Write the page as an Atom feed (RFC 4287): one entry for each service with trouble."""
    _, document = get_translator(SOURCE), version.document
    updated = times.of(document.as_of).isoformat(timespec="seconds")
    feed_id = f"urn:uuid:{uuid5(NAMESPACE_URL, f'vigie-public:{document.territory}')}"
    entries = []
    by_service: dict[str, list[str]] = {}
    for section in build_sections(document, detail, _):
        if section.status is PublicStatus.OPEN:
            continue
        for service in section.services:
            lines = [_("{title} : {n}", title=section.title, n=service.count), *service.lines]
            by_service.setdefault(service.name, []).extend(lines)
    for name, lines in by_service.items():
        entry_id = uuid5(NAMESPACE_URL, f"{feed_id}:{version.number}:{name}")
        title = f"{_('EXERCICE')} – {name}" if document.exercise else name
        entries.append(
            f"<entry><id>urn:uuid:{entry_id}</id><title>{escape(title)}</title>"
            f"<updated>{updated}</updated>"
            f'<link href="/public"/><content>{escape(chr(10).join(lines))}</content></entry>'
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom" '
        f'xml:lang="fr"><id>{feed_id}</id><title>{escape(write_title(document, _))}</title>'
        f"<updated>{updated}</updated><author><name>"
        f'{escape(document.territory)}</name></author><link rel="self" href="/public.atom"/>'
        f'<link href="/public"/>{"".join(entries)}</feed>'
    ).encode()


def write_within_limit(write: Callable[[Detail], bytes]) -> bytes:
    """Return the most detailed version that is below the limit."""
    body = b""
    for detail in Detail:
        body = write(detail)
        if len(body) <= MAX_BYTES:
            break
    return body


@lru_cache(maxsize=4)
def render_files(version: PublishedVersion) -> dict[str, PublicFile]:
    """Render all files of a version."""
    files = {}
    for lang in LANGUAGES:
        end = "" if lang == SOURCE else f".{lang}"
        page = write_within_limit(partial(render_page, version, lang))
        text = write_within_limit(partial(write_plain_text, version, lang))
        files[f"index{end}.html"] = PublicFile(HTML, page)
        files[f"falc{end}.txt"] = PublicFile(TEXT, text)
    document = write_within_limit(partial(write_json, version))
    feed = write_within_limit(partial(write_atom, version))
    files["public.json"] = PublicFile("application/json", document)
    files["public.atom"] = PublicFile("application/atom+xml; charset=utf-8", feed)
    return files


def sign_files(
    files: dict[str, PublicFile], version: PublishedVersion, key: SigningKey
) -> dict[str, PublicFile]:
    """Return the files with a manifest of their hashes, its signature and the public key.

    The form is that of docs/reference/evidence-bundle.md.
    """
    about = {
        "format": "vigie.public.v1",
        "territory": version.document.territory,
        "exercise": version.document.exercise,
        "version": version.number,
        "published_at": times.of(version.published_at).isoformat(timespec="seconds"),
        "key": key.public.fingerprint,
        "files": {
            name: {"sha256": sha256(one.body).hexdigest(), "bytes": len(one.body)}
            for name, one in files.items()
        },
    }
    manifest = orjson.dumps(about, option=orjson.OPT_INDENT_2)
    return files | {
        MANIFEST: PublicFile("application/json", manifest),
        SIGNATURE: PublicFile("application/octet-stream", key.sign(manifest)),
        PUBLIC_KEY: PublicFile("application/x-pem-file", key.public.pem),
    }
