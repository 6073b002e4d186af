"""The screen of call-outs and headcounts agrees with the counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.words import Channel
from services.console.i18n import get_translator
from services.console.messages.page import CallOutView, build_callout_views
from services.console.resources import CallOut, Estimate
from services.console.texts.names import TerritoryNames

AT = datetime(2027, 11, 14, 4, 15, tzinfo=UTC)
SITES = ["cen-1", "col-1", "col-2", "col-3", "col-4"]


def call(lang: str = "fr", **given: Any) -> CallOutView:
    fields: dict[str, Any] = dict.fromkeys(CallOut.model_fields, 0) | {
        "id": "c1",
        "realm": "92",
        "kind": "callout",
        "state": "running",
        "decision": None,
        "corrects": None,
        "incident": None,
        "sites": [],
        "danger": False,
        "answer_expected": False,
        "channels": [Channel.SMS],
        "by": "coordinator",
        "drafted_at": AT,
        "started_at": None,
        "ended_at": None,
        "estimates": [],
        "eta_at": None,
        "managers_called_at": None,
        "text": None,
    }
    return build_callout_views(
        [CallOut.model_validate(fields | given)], TerritoryNames(), get_translator(lang)
    )[0]


def title(lang: str = "fr", **given: Any) -> str:
    return plain(call(lang, **given).title)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_draft_shows_its_duration_and_is_not_sent() -> None:
    sms = Estimate(channel=Channel.SMS, people=5288, seconds=265, cost_cents=26_440)
    callout_view = call(
        state="draft", people=5300, unreachable=12, cost_cents=26_440, estimates=[sms]
    )
    assert (callout_view.state, callout_view.done, plain(callout_view.cost)) == (
        "Prêt, personne n’est prévenu",
        0,
        "264,40 €",
    )
    assert [(e.channel, e.people, e.minutes, plain(e.cost)) for e in callout_view.estimates] == [
        (Channel.SMS, 5288, 5, "264,40 €")
    ]
    assert not callout_view.answers
    assert call(state="stopped").state == "Abandonné, personne n’a été prévenu"
    assert plain(call("en", state="stopped", started_at=AT, spent_cents=7).cost) == "€0.07"


def test_the_recipients_are_described_by_place() -> None:
    assert title() == "Diffusion d’alerte : tous les agents"
    assert (
        title(kind="headcount", sites=SITES)
        == "Recensement : cen-1, col-1, col-2 et 2 autres sites"
    )
    assert title("en", kind="headcount", sites=SITES[:1]) == "Headcount: cen-1"


def test_progress_is_complete_only_without_missing_people() -> None:
    assert [call(people=1000, handed=n).share for n in (0, 999, 1000)] == [0, 99, 100]
    assert call(people=0).share == 0


def test_a_headcount_shows_answers_and_the_number_of_silent_people() -> None:
    callout_view = call(
        kind="headcount",
        sites=SITES,
        started_at=AT,
        people=10,
        answered=7,
        handed=10,
        safe=4,
        help=1,
        away=2,
    )
    assert (callout_view.done, callout_view.silent) == (7, 3)
    assert [f"{n} {words}" for _, words, n in callout_view.answers] == [
        "4 en sécurité",
        "1 demande de l’aide",
        "2 pas concernés ou absents",
    ]


def test_a_stopped_or_finished_call_out_is_over() -> None:
    assert [call(state=state).is_over for state in ("draft", "running", "stopped", "done")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_sent_message_may_be_corrected() -> None:
    assert title(corrects="c0") == "Rectificatif : tous les agents"
    assert call(started_at=AT).may_be_corrected
    assert not call(state="draft").may_be_corrected
    assert not call(kind="headcount", started_at=AT).may_be_corrected
