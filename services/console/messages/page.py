"""Page of call-outs and headcounts: cost of drafts, progress, and missing answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.words import Channel
from services.console.i18n import N_, Translator
from services.console.resources import CallOut
from services.console.texts.names import TerritoryNames
from services.console.texts.words import format_euros

SITES_SHOWN: Final = 3
ENDED_SHOWN: Final = 50
CHANNELS: Final = (Channel.SMS, Channel.VOICE, Channel.EMAIL, Channel.APP)
"""Channels of a call-out, in the order in which several are tried."""
_STATE_LABELS: Final = {
    "draft": (N_("Prêt, personne n’est prévenu"), "wait", "mute"),
    "running": (N_("En cours"), "beat", "ok"),
    "stopped": (N_("Arrêté"), "stop", "mute"),
    "done": (N_("Terminé"), "check", "ok"),
}
_ABANDONED: Final = (N_("Abandonné, personne n’a été prévenu"), "stop", "mute")
_ANSWER_LABELS: Final = (
    ("safe", N_("en sécurité"), N_("en sécurité")),
    ("help", N_("demande de l’aide"), N_("demandent de l’aide")),
    ("away", N_("pas concerné ou absent"), N_("pas concernés ou absents")),
)


@dataclass(frozen=True, slots=True)
class DraftEstimate:
    """Cost of a draft on one channel."""

    channel: Channel
    people: int
    minutes: int
    """Duration, rounded up; 0 if there is none."""
    cost: str
    parts: int
    """SMS parts per person, as the provider counts them."""


@dataclass(frozen=True, slots=True)
class CallOutView:
    """One call-out or headcount on the page."""

    callout: CallOut
    title: str
    state: str
    icon: str
    tone: str
    done: int
    """Number of people reached; in a headcount, number of answers."""
    silent: int
    """Number of people without an answer, in a headcount."""
    cost: str
    """Amount spent so far; for a draft, the expected amount."""
    estimates: tuple[DraftEstimate, ...]
    answers: tuple[tuple[str, str, int], ...]
    """Answers of a headcount: (answer, its text, count)."""

    @property
    def is_headcount(self) -> bool:
        return self.callout.kind == "headcount"

    @property
    def has_begun(self) -> bool:
        """True if people were reached or will be soon."""
        return self.callout.started_at is not None

    @property
    def may_be_corrected(self) -> bool:
        """Its message has gone out."""
        return self.has_begun and not self.is_headcount

    @property
    def is_over(self) -> bool:
        return self.callout.state in ("stopped", "done")

    @property
    def share(self) -> int:
        """Percentage of `done`, rounded down: 100 only if nobody is missing."""
        return 100 * self.done // self.callout.people if self.callout.people else 0


def build_callout_views(
    callouts: Iterable[CallOut], names: TerritoryNames, _: Translator
) -> list[CallOutView]:
    """Build the lines of the page, in the given order."""
    return [_build_callout_view(one, names, _) for one in callouts]


def label_state(state: str, has_begun: bool, _: Translator) -> str:
    """Return the words for the state of a call-out; an abandoned draft has reached nobody."""
    return _(_present_state(state, has_begun)[0])


def _present_state(state: str, has_begun: bool) -> tuple[str, str, str]:
    return _STATE_LABELS[state] if has_begun or state != "stopped" else _ABANDONED


def _build_callout_view(one: CallOut, names: TerritoryNames, _: Translator) -> CallOutView:
    has_begun, is_headcount = one.started_at is not None, one.kind == "headcount"
    _state, icon, tone = _present_state(one.state, has_begun)
    title = _title(one, describe_recipients(one, names, _), _)
    return CallOutView(
        callout=one,
        title=title,
        state=label_state(one.state, has_begun, _),
        icon=icon,
        tone=tone,
        done=one.answered if is_headcount else one.handed,
        silent=max(one.people - one.answered, 0) if is_headcount and has_begun else 0,
        cost=format_euros(one.spent_cents if has_begun else one.cost_cents, _.lang),
        estimates=tuple(
            DraftEstimate(
                e.channel,
                e.people,
                -(-e.seconds // 60),
                format_euros(e.cost_cents, _.lang),
                e.parts,
            )
            for e in one.estimates
        ),
        answers=tuple(
            (key, _(a if n < 2 else many), n)
            for key, a, many in _ANSWER_LABELS
            for n in [getattr(one, key)]
        )
        if is_headcount and has_begun
        else (),
    )


def _title(one: CallOut, who: str, _: Translator) -> str:
    if one.kind == "headcount":
        return _("Recensement : {who}", who=who)
    return (
        _("Diffusion d’alerte : {who}", who=who)
        if one.corrects is None
        else _("Rectificatif : {who}", who=who)
    )


def describe_recipients(one: CallOut, names: TerritoryNames, _: Translator) -> str:
    """Describe the recipients, with the names of at most `SITES_SHOWN` sites."""
    if not one.sites:
        return _("tous les agents")
    site_names = ", ".join(names.site(s) for s in one.sites[:SITES_SHOWN])
    more = len(one.sites) - SITES_SHOWN
    return (
        _.plural("{shown} et {n} autre site", "{shown} et {n} autres sites", more, shown=site_names)
        if more > 0
        else site_names
    )
