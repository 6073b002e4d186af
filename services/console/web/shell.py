"""Build the frame of every screen (reader, realm, level, clock) and render templates."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from schemas.reassignment import MAX_LINES_PER_STEP
from services import console
from services.console.attention.cell_page import fold_text
from services.console.i18n import LANGUAGES, N_, Translator, get_translator
from services.console.resources import Incident, Overview, Realm, Site
from services.console.texts import words, world
from services.console.texts.names import name_strategy, shorten_activity_name, shorten_site_name
from services.console.web import times
from services.messages.names import TERRITORY
from services.runtime.http.control_characters import replace_control_characters
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.http_access import GUEST
from services.runtime.identity.permissions import READ_PERMISSIONS, Permission
from services.runtime.identity.principals import Principal
from services.runtime.process.cluster import MajorityState

CONSOLE: Final = Path(__file__).parent.parent
STATIC: Final = CONSOLE / "static"
LANG_COOKIE: Final = "vigie_lang"
THEME_COOKIE: Final = "vigie_theme"
THEMES: Final = ("light", "dark")
CSP: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; manifest-src 'self'; style-src "
    "'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, no other origin.

No `data:` either: every drawing is SVG in the page.
"""


@cache
def hash_assets() -> str:
    """Return a hash of all static files, so that a browser never mixes two releases."""
    digest = blake2b(digest_size=6)
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ScreenReader:
    """The person in front of the screen."""

    principal: Principal
    past: bool = False
    """The screen shows the past: no decision is possible."""

    def may(self, permission: str) -> bool:
        required_permission = Permission(permission)
        return self.principal.may(required_permission) and (
            not self.past or required_permission in READ_PERMISSIONS
        )

    @property
    def whole(self) -> bool:
        """Whether the reader's account is for the whole territory."""
        return not (self.principal.scope.sites or self.principal.scope.poles)

    def may_everywhere(self, permission: str) -> bool:
        """Return whether the reader has a permission for the whole territory."""
        return self.whole and self.may(permission)

    def reaches(self, incident: Incident) -> bool:
        """Return whether an incident touches the sites and pôles of the reader's account."""
        return self.touches([*incident.sites, *incident.zone_sites], incident.poles)

    def reaches_some(self, incidents: Iterable[Incident], id: str | None) -> bool:
        """Return whether the reader decides about the incident with this id; none is everywhere."""
        return self.whole or any(one.id == id and self.reaches(one) for one in incidents)

    def touches(self, sites: Iterable[str], poles: Iterable[str]) -> bool:
        """Return whether some of these sites and pôles are of the reader's account."""
        scope = self.principal.scope
        return not (
            (scope.sites and set(scope.sites).isdisjoint(sites))
            or (scope.poles and set(scope.poles).isdisjoint(poles))
        )

    def covers(self, site: Site | None) -> bool:
        """Return whether the reader decides about a site; without one, about all of them."""
        scope = self.principal.scope
        return self.whole or (
            site is not None
            and (not scope.sites or site.id in scope.sites)
            and (not scope.poles or site.pole in scope.poles)
        )

    @property
    def rights(self) -> tuple[object, ...]:
        """All that a page may depend on: two readers with the same rights see the same page."""
        p = self.principal
        return self.guest, p.role, p.duty, p.scope.sites, p.scope.poles, p.scope.realms

    @property
    def guest(self) -> bool:
        """True without an account, for a reader of the demonstration; the page offers the login."""
        return self.principal.id == GUEST

    @property
    def duty(self) -> str:
        """The role of this person in decisions."""
        return self.principal.acting_role


@dataclass(frozen=True, slots=True)
class DisplayChoice:
    """Language and theme of the reader."""

    lang: str
    theme: str | None

    @classmethod
    def of(cls, request: Request) -> "DisplayChoice":
        """Read the choice from `?lang=` and `?theme=`, then cookies, then browser preferences."""
        lang = request.query_params.get("lang") or request.cookies.get(LANG_COOKIE)
        theme = request.query_params.get("theme") or request.cookies.get(THEME_COOKIE)
        return cls(
            lang if lang in LANGUAGES else choose_language(request.headers.get("accept-language")),
            theme if theme in THEMES else None,
        )


@dataclass(frozen=True, slots=True)
class ScreenShell:
    """Everything that the frame of a screen shows."""

    page: str
    reader: ScreenReader
    choice: DisplayChoice
    overview: Overview
    realms: list[Realm]
    default_realm: str
    """The realm that this reader gets without a parameter."""
    live: Overview | None
    """The live realm while the screen shows another: an exercise must not hide a real crisis."""
    moment: datetime | None = None
    """The past time that the screen shows; None is now."""
    urgent: int = 0
    """Gaps in the on-call schedules that begin soon. Rule D38."""
    mute: bool = False
    """No channel of this live realm has a provider: calls reach no one."""
    hold_reason: str | None = None
    """Reason of the hold, for readers of free text."""
    cluster: MajorityState | None = None
    """State of this machine's cluster; None without one."""

    @property
    def cut_off(self) -> datetime | None:
        """Start of the time without a majority of the cluster; None if this machine sees one."""
        if self.cluster is None or self.cluster.has_majority:
            return None
        return datetime.fromtimestamp(self.cluster.since_ms / 1000, self.now.tzinfo)

    @property
    def realm(self) -> Realm:
        return self.overview.realm

    @property
    def needs_realm(self) -> bool:
        """Tell whether links and decisions of this page have to name its realm."""
        return self.realm.name != self.default_realm

    @property
    def live_realms(self) -> list[Realm]:
        """The live realms that the reader may see."""
        return [realm for realm in self.realms if not realm.simulated]

    @property
    def now(self) -> datetime:
        return self.overview.at

    @property
    def lang(self) -> str:
        return self.choice.lang

    @property
    def only_incident(self) -> str:
        """The open incident that forms choose at once: the only one, for the whole territory."""
        open_ones = self.overview.incidents
        return open_ones[0].id if len(open_ones) == 1 and self.reader.whole else ""

    @property
    def speed(self) -> float:
        """Simulated seconds per real second to show until the next fact; 0 waits for that fact."""
        if self.moment is not None:
            return 0.0
        if not self.realm.simulated:
            return 1.0
        return 0.0 if self.realm.clock_limit is None else self.realm.speed or 0.0

    @property
    def limit(self) -> datetime | None:
        """The limit of the browser's clock in a simulated realm."""
        return self.realm.clock_limit if self.moment is None else None

    @property
    def territory(self) -> str:
        return TERRITORY.get(self.realm.territory, self.realm.territory)

    @property
    def unanswered_count(self) -> int:
        """Number of open incidents from N2 without acknowledgement, shown in the tab's title."""
        return sum(
            1
            for i in self.overview.incidents
            if i.level >= MAJOR_LEVEL and not i.acknowledged_by and i.quiet is None
        )

    @property
    def alarm(self) -> str:
        """Ids of the crises without acknowledgement; the sound lasts until it is empty.

        Always empty in the past.
        """
        if self.moment is not None:
            return ""
        return " ".join(
            sorted(
                i.id
                for i in self.overview.incidents
                if i.level >= CRISIS_LEVEL and not i.acknowledged_by and i.quiet is None
            )
        )

    @property
    def gravest(self) -> Incident | None:
        return next(iter(self.overview.incidents), None)

    @property
    def newest(self) -> datetime:
        """The end of the time line: the realm's clock, or the server's in a live realm."""
        if not self.realm.simulated:
            return self.overview.server_time
        return next(
            (r.shown_clock for r in self.realms if r.name == self.realm.name),
            self.realm.shown_clock,
        )

    def url(self, path: str, **params: object) -> str:
        """Build a link that stays in this realm and at this time.

        The reader's default realm and the present need no parameter.
        """
        stays = {
            "realm": self.realm.name if self.needs_realm else None,
            "as_of": self.moment and times.format_minute(self.moment),
        }
        query = {k: v for k, v in {**stays, **params}.items() if v is not None}
        joint = "&" if "?" in path else "?"
        return f"{path}{joint}{urlencode(query)}" if query else path

    def export_url(self, path: str, form: str, query: Mapping[str, object]) -> str:
        """Build the link to a list as a file, of this realm and at this time."""
        at = None if self.moment is None else self.moment.isoformat()
        query_params = {"realm": self.realm.name, "as_of": at, **query, "format": form}
        return f"{path}?{urlencode({k: v for k, v in query_params.items() if v})}"

    @property
    def login(self) -> str:
        """The login page with the way back to this realm."""
        return f"/connexion?{urlencode({'next': self.url('/')})}"


MAJOR_LEVEL: Final = 2
CRISIS_LEVEL: Final = 3


def get_level_name(level: int, _: Translator) -> str:
    """Return the name of a level, as in the territory's policy."""
    return _(LEVEL_NAMES[level]) if level in LEVEL_NAMES else f"N{level}"


LEVEL_NAMES: Final = {
    0: N_("Veille"),
    1: N_("Incident de site"),
    2: N_("Incident majeur de pôle"),
    3: N_("Crise départementale"),
    4: N_("Crise majeure avec l’État"),
}


def _build_static_url(path: str) -> str:
    return f"/static/{hash_assets()}/{path}"


@cache
def create_environment() -> Environment:
    """Create the template environment; undefined names are errors, everything is escaped."""
    env = Environment(
        loader=FileSystemLoader([CONSOLE / "templates", *console.__path__]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(
        hm=times.hm, hms=times.hms, ms=times.to_ms, short=shorten_site_name, folded=fold_text
    )
    env.globals.update(
        static=_build_static_url,
        times=times,
        short_activity=shorten_activity_name,
        most_steps=MAX_LINES_PER_STEP,
    )
    return env


def render_response(
    template: str, context: Mapping[str, Any], choice: DisplayChoice, *, status: int = 200
) -> Response:
    """Render a page with the headers of every page."""
    return build_response(render_html(template, context, choice), choice, status=status)


def render_html(template: str, context: Mapping[str, Any], choice: DisplayChoice) -> bytes:
    """Render the text of a page."""
    _ = get_translator(choice.lang)
    scope: dict[str, Any] = {
        "_": _,
        "plural": _.plural,
        "lang": choice.lang,
        "theme": choice.theme,
        **_list_helpers(_),
        **context,
    }
    return replace_control_characters(
        create_environment().get_template(template).render(scope)
    ).encode()


def build_response(text: bytes, choice: DisplayChoice, *, status: int = 200) -> Response:
    """Add the headers: no inline code, no other origin, no copy in browser or proxy."""
    headers = {
        "Content-Security-Policy": CSP,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Language": choice.lang,
        "Vary": "Accept-Language, Cookie",
    }
    return Response(text, status, headers, "text/html; charset=utf-8")


def store_choice(response: Response, request: Request, choice: DisplayChoice) -> None:
    """Store a language or theme in a cookie if a link has just chosen it."""
    if "lang" in request.query_params:
        response.set_cookie(
            LANG_COOKIE, choice.lang, max_age=31_536_000, samesite="lax", httponly=True
        )
    if "theme" in request.query_params:
        if choice.theme is not None:
            response.set_cookie(
                THEME_COOKIE, choice.theme, max_age=31_536_000, samesite="lax", httponly=True
            )
        else:
            response.delete_cookie(THEME_COOKIE)


def _list_helpers(_: Translator) -> dict[str, Callable[..., str]]:
    """Return the template functions that depend on the language."""
    return {
        "number": lambda value: words.format_number(value, _.lang),
        "euros": lambda value: words.format_euros(round(value * 100), _.lang),
        "percent": lambda value: f"{words.format_number(round(value), _.lang)}\u00a0%",
        "word": lambda table, code: words.translate_code(getattr(words, table), code, _),
        "source_name": lambda kind: world.name_source(kind, _),
        "world_word": lambda table, code: words.translate_code(getattr(world, table), code, _),
        "strategy_name": lambda strategy: name_strategy(strategy, _),
        "level_name": lambda level: get_level_name(level, _),
        "hm_day": lambda at, now: times.hm_day(at, now, _.lang),
        "hm_short": times.hm_short,
        "hm_dated": lambda at, now: times.hm_dated(at, now, _.lang),
        "day": lambda at: times.day(at, _.lang),
        "day_long": lambda at: times.day_long(at, _.lang),
        "lasted": lambda span: times.format_duration(span, _.lang),
        "countdown": lambda until, now: times.format_countdown(until, now, _.lang),
        "since_start": lambda started_at, now: times.format_exercise_time(started_at, now, _.lang),
    }
