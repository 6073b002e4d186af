"""Every message holds its required facts and no forbidden ones (rules D59 and D70)."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from schemas import reference as ref
from schemas.alerts import AttentionRequested
from schemas.callouts import AGENT
from schemas.delivery import BundledItem, NotificationRow
from schemas.words import Channel, Level, NotificationState
from services.messages import MessageNames, MessageText, compose_message, load_phrases
from services.messages.composition import (
    SMS_MAX_SEPTETS,
    SUBJECT_MAX_CHARACTERS,
    VOICE_MAX_CHARACTERS,
)
from services.messages.phrases import split_template
from services.runtime.http.sms_text import count_septets, encode_text
from tests.scenarios.told import ASKED, OPEN_ENDED, UNTIL
from tests.shipped import territory

T0 = 1_804_754_520_000
"""11 March 2027, 09:42 in Paris."""
NAMES = MessageNames.of(territory().sections)
LINK = f"https://vigie.example.fr/a/{'x' * 75}"
POWER: dict[str, Any] = {
    "number": "92-2027-0311-01",
    "kind": "power",
    "members": 5,
    "communes": 3,
    "commune": "92026",
    "places": "92026,92050,92062",
    "since": T0 - 120_000,
}
ALARM = POWER | {
    "activity": "SOL-02",
    "pct": 80,
    "limit_at": T0 + 2_880_000,
    "stopped_at": T0 - 60_000,
    "strategy": "SR-TELE",
}
EVERYTHING = ALARM | {
    "event": "fire",
    "plan": "PT-ELEC",
    "card": "SOL-C1",
    "site": "cen-1",
    "agents": 4,
    "come": 2,
    "hole": "no_deputy",
    "hole_role": "astreinte_technique",
    "hole_at": T0,
    "holes": 2,
    "ready_pct": 97.0,
    "shift_role": "cellule_situation",
    "shift_end": T0,
    "found": 4,
    "expected": 9,
    "phenomena": "vent|neige-verglas",
    "plans": "PT-NEIGE|PT-CRUE",
    "order": "evacuated",
    "ordered_at": T0,
    "giver": "ssiap",
    "hazard": "gas_leak",
    "end": "closed",
    "exercise": "Grande coupure",
    "author_role": "coordinateur_pca",
    "ends_at": T0 + 3_600_000,
    "resource": "generator",
    "quantity": 2,
    "barred": "cen-1",
    "obligation": "rgpd-cnil",
    "cards": 3,
    "handover": 3,
    "sitrep": 5,
    "sitrep_level": 3,
    "as_of": T0,
    "taker_role": "coordinateur_pca",
    "decisions": 4,
    "next_at": T0 + 600_000,
    "unfinished": 57,
    "total": 98,
    "subjects": "call|action|area_order|headcount",
}
AREA_ORDERS = {
    "site_danger_over": {"ended": "gas_leak"},
    "site_order_over": {"order": "lifted"},
    "area_order": {"task": "t1"},
    "area_order_over": {"order": "lifted", "task": "t1"},
    "area_order_sites": {"site": "cen-1,pmi-01,clg-1"},
    "area_order_own_sites": {"site": "cen-1,pmi-01,clg-1"},
    "reply_unread_area": {"task": "t1"},
}
"""Template → values that choose it among those of its messages."""
ANSWERED = (
    "area_order",
    "incident_wave",
    "level_raised",
    "answer_stale",
    "headcount",
    "exercise_wave",
    "action_request",
    "action_reminder",
    "action_due",
    "action_overdue",
)


def row(**changes: Any) -> NotificationRow:
    return NotificationRow(
        **{
            "id": "n1",
            "level": Level.N3,
            "role": "dgs_directeur_de_crise",
            "person": "dgs",
            "channels": (Channel.EMAIL,),
            "state": NotificationState.PLANNED,
            "template": "incident_wave",
            "values": POWER,
            "planned_at": T0,
            "ack_by": T0 + 600_000,
            "answer_expected": changes.get("template", "incident_wave") in ANSWERED,
            **changes,
        }
    )


def said(
    lang: str = "fr", *, names: MessageNames = NAMES, text: str | None = None, **changes: Any
) -> MessageText:
    return compose_message(
        row(**changes), names, load_phrases(lang), LINK, text, public_url="https://vigie.example.fr"
    )


def every_text(text: MessageText) -> str:
    names = ("sms", "sms_one_way", "voice", "push_title", "push", "subject")
    return "\n".join([*(getattr(text, name) for name in names), text.plain()])


# ── what a call says ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_names_event_place_time_request_and_limit() -> None:
    assert said().sms == (
        "Vigie N3 : Coupure d'électricité, Courbevoie, Nanterre et Puteaux (5 sites), depuis 09:40. Prenez la direction de crise "
        f"avant 09:52. Répondez 1 : je prends, 2 : je ne peux pas. {LINK}"
    )


def test_a_call_is_written_in_english() -> None:
    assert said("en").sms.startswith(
        "Vigie N3: Power cut, Courbevoie, Nanterre and Puteaux (5 sites), since 09:40. Take command"
    )


def test_a_voice_message_speaks_levels_and_times_in_words() -> None:
    text = said(role="cellule_rh")
    assert text.voice.startswith("Vigie, niveau 3, Crise départementale. Coupure d’électricité")
    assert "depuis 9 h 40." in text.voice
    assert not re.search(r"\bN[0-4]\b|\d\d:\d\d|https?:", text.voice)


def test_the_subject_of_a_mail_is_clear_without_its_body() -> None:
    assert "Coupure d’électricité, Courbevoie, Nanterre et Puteaux" in said().subject


def test_danger_comes_before_the_request() -> None:
    text = said(danger=True)
    assert text.sms.index("Danger possible pour des personnes.") < text.sms.index(
        "Prenez la direction"
    )


def test_a_raised_level_names_the_old_and_the_new_level() -> None:
    text = said(template="level_raised", previous_level=Level.N2)
    assert text.sms.startswith("Vigie N2 -> N3 : Coupure")
    assert text.voice.startswith("Vigie. Le niveau passe de 2 à 3, Crise départementale.")


def test_a_first_call_does_not_ask_for_a_repeated_answer() -> None:
    text = said(
        template="level_raised", previous_level=Level.N2, values=POWER | {"first_call": True}
    )
    assert text.sms.startswith("Vigie N3 : Coupure")
    assert "nouveau" not in every_text(text)


def test_a_call_about_an_incident_that_is_over_asks_to_check_and_close() -> None:
    text = said(values=POWER | {"over": True})
    assert "Plus rien n'est signalé : vérifiez, puis faites cloturer l'incident" in text.sms
    assert "Rejoignez" not in every_text(text)


def test_another_day_is_dated() -> None:
    assert "depuis le 10/03 à 09:42" in said(values=POWER | {"since": T0 - 86_400_000}).sms
    assert "depuis le 10 mars à 9 h 42" in said(values=POWER | {"since": T0 - 86_400_000}).voice


def test_one_site_is_named_with_its_commune() -> None:
    values = POWER | {"members": 1, "communes": 1, "places": "92050", "only_site": "cen-1"}
    assert "Coupure d'électricité, Siège, Nanterre, depuis 09:40." in said(values=values).sms


def test_an_incident_of_a_site_names_its_event() -> None:
    values = POWER | {"kind": "site", "event": "closure", "only_site": "cen-1", "members": 1}
    assert "Incident sur un site : fermeture, Siège, Nanterre" in said(values=values).sms


@pytest.mark.parametrize(
    ("event", "name"),
    [("evacuation", "Consigne d'évacuation"), ("shelter_in_place", "Consigne de confinement")],
)
def test_an_incident_that_is_an_order_is_called_after_it(event: str, name: str) -> None:
    values = POWER | {"kind": "site", "event": event, "only_site": "cen-1", "members": 1}
    text = said(values=values)
    assert f"{name}, Siège, Nanterre" in text.sms
    assert "Incident sur un site" not in every_text(text)


def test_the_order_for_a_site_is_named_once() -> None:
    """It stood beside «Incident sur un site : évacuation»."""
    incident_values = {"kind": "site", "event": "evacuation", "only_site": "cen-1", "members": 1}
    order_values = {"site": "cen-1", "order": "evacuated", "ordered_at": T0, "giver": "pompiers"}
    text = said(
        template="site_order",
        role="responsable_site",
        values=POWER | incident_values | order_values,
    )
    assert text.sms.startswith("Vigie N3, Siège : évacuation depuis 09:42 (pompiers).")
    assert text.sms.count("vacuation") == 1
    assert "Incident sur un site" not in every_text(text)


def test_a_call_for_an_order_in_an_area_says_so_on_every_channel() -> None:
    values = POWER | {
        "kind": "site",
        "event": "evacuation",
        "area_order": "evacuated",
        "members": 0,
        "communes": 1,
        "places": "92050",
    }
    text = said(values=values)
    assert text.sms.startswith("Vigie N3 : Consigne d'évacuation, Nanterre, depuis 09:40.")
    assert "Consigne d’évacuation, Nanterre" in text.voice
    assert text.subject.startswith("Vigie N3 – Consigne d’évacuation, Nanterre")
    assert "Quoi\u00a0: Consigne d’évacuation\n" in text.plain()
    assert text.push_title.startswith("N3 – Consigne d’évacuation")
    assert "Incident sur un site" not in every_text(text)
    sheltering = said(values=values | {"event": "shelter_in_place", "area_order": "sheltering"})
    assert "Consigne de confinement, Nanterre" in sheltering.sms


def test_the_question_about_an_order_names_it_once() -> None:
    values = POWER | {
        "kind": "site",
        "event": "evacuation",
        "area_order": "evacuated",
        "places": "92050",
        "communes": 1,
        "site": "cen-1",
        "order": "evacuated",
        "ordered_at": T0,
        "task": "t1",
    }
    text = said(template="area_order", role="responsable_site", values=values)
    assert "Siège : évacuation, Nanterre, depuis 09:42. Votre site" in text.sms
    assert "ncident sur un site" not in every_text(text)


def test_a_fourth_commune_is_counted() -> None:
    values = POWER | {"communes": 7, "places": "92026,92050,92062,92004"}
    assert "Courbevoie, Nanterre, Puteaux et 4 autres communes" in said(values=values).sms


def test_several_sites_are_counted_if_space_allows() -> None:
    assert "(5 sites)" in said().sms
    assert ", 5 sites, depuis" in said().voice
    assert "(5 sites)" in said().plain()
    assert (
        "site"
        not in said(values=POWER | {"members": 1, "places": "92050", "communes": 1}).sms.partition(
            LINK
        )[0]
    )


def test_an_incident_of_every_commune_names_the_territory() -> None:
    names = MessageNames.of(territory().sections)
    values = POWER | {"kind": "flood", "communes": 36}
    assert (
        "Crue de la Seine, tout le département (5 sites), depuis"
        in said(values=values, names=names).sms
    )


def test_a_message_names_a_plan_that_new_data_drop() -> None:
    section = next(s for s in territory().sections if isinstance(s, ref.Plans))
    others = tuple(plan for plan in section.plans if plan.id != "PT-ELEC")
    names = NAMES.with_section(section.model_copy(update={"plans": others}))
    text = said(names=names, template="plan_dropped", values=POWER | {"plan": "PT-ELEC"})
    assert f'le plan "{NAMES.plans["PT-ELEC"]}" n\'est plus' in text.sms


def test_the_request_to_a_role_depends_on_the_level() -> None:
    assert "Dites l'état de votre site avant" in said(level=Level.N1, role="responsable_site").sms
    assert "Rejoignez la cellule de crise avant" in said(level=Level.N3, role="cellule_com").sms
    assert (
        "Rejoignez la cellule ou votre élu d'astreinte avant"
        in said(level=Level.N4, role="president").sms
    )


def test_a_missing_bridge_is_left_out() -> None:
    assert "COMPL" not in every_text(said()).upper()
    assert "Pont" not in said().sms


def test_a_known_bridge_is_included() -> None:
    names = MessageNames(bridges={3: "01 00 00 00 00 code 1234"}, cell_phone="01 00 00 00 01")
    text = said(names=names, values=POWER | {"places": "", "commune": None})
    assert "Conférence 01 00 00 00 00 code 1234." in text.sms
    assert "Conférence : 01 00 00 00 00 code 1234." in text.voice
    assert "01 00 00 00 01" in text.plain()


# ── the other messages ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alarm_names_activity_cause_strategy_and_remaining_time() -> None:
    assert said(template="alarm_dmia", values=ALARM).sms == (
        "Vigie N3 : Enfants confiés, interruption depuis 09:41. 80 % de la durée maximale écoulée. Cause : coupure d'électricité, Courbevoie, "
        "Nanterre et Puteaux. Changez de repli (télétravail) avant 10:30, reste 48 min. Aucune réponse attendue. "
        "https://vigie.example.fr/activites"
    )


def test_an_alarm_past_its_limit_asks_for_its_strategy_at_once() -> None:
    text = said(template="alarm_rto", values=ALARM | {"limit_at": T0})
    assert "Décidez le repli (télétravail) tout de suite (limite dépassée depuis 09:42)" in text.sms
    assert "reste" not in text.sms


def test_the_alarm_of_a_site_names_it() -> None:
    for template in ("alarm_rto", "alarm_dmia"):
        text = said(template=template, role="responsable_site", values=ALARM | {"site": "cen-1"})
        assert "Enfants confiés, Siège, interruption depuis 09:41. 80 %" in text.sms
        assert "Agissez sur place avant 10:30" in text.sms
        assert "/mes-sites" in text.plain()


def test_a_director_is_not_asked_to_act_on_site() -> None:
    text = said(template="alarm_rto", role="directeur_pole", values=ALARM | {"site": "cen-1"})
    assert "Enfants confiés, Siège, interruption depuis 09:41." in text.sms
    assert "Décidez le repli (télétravail) avant 10:30" in text.sms


def test_an_alarm_delayed_beyond_its_limit_names_no_remaining_time() -> None:
    text = said(template="alarm_dmia", values=ALARM | {"limit_at": T0 - 60_000})
    assert "100 % de la durée maximale écoulée." in text.sms
    assert "80 %" not in every_text(text)


def test_a_bundle_holds_only_the_newest_alarm_of_a_clock() -> None:
    later = BundledItem(template="alarm_rto", level=Level.N3, role="x", values=ALARM | {"pct": 100})
    text = said(template="alarm_rto", values=ALARM, bundle=(later,), bundle_count=1)
    assert text.sms.startswith(
        "Vigie N3 : Enfants confiés, interruption depuis 09:41. 100 % du délai"
    )
    assert "80 %" not in text.sms


def test_a_bundle_of_more_messages_than_it_lists_still_counts_them() -> None:
    later = BundledItem(template="alarm_rto", level=Level.N3, role="x", values=ALARM | {"pct": 100})
    text = said(template="alarm_rto", values=ALARM, bundle=(later,), bundle_count=5)
    assert text.sms.startswith("Vigie N3 : 5 messages.")


def test_a_voice_keeps_the_space_before_a_french_semicolon() -> None:
    assert " ; les ordres" in said(template="reassignment_proposed", values=EVERYTHING).voice


def test_the_subject_of_an_alarm_names_its_cause() -> None:
    subject = said(template="alarm_rto", values=ALARM).subject.replace("\u00a0", " ")
    assert subject == (
        "Vigie N3 – Enfants confiés : 80 % du délai de reprise – coupure d’électricité, 3 communes, limite 10:30"
    )


def test_the_notification_of_an_alarm_names_start_cause_and_request() -> None:
    """An agent with the app alone reads nothing else."""
    assert said(template="alarm_rto", values=ALARM | {"site": "cen-1"}).push == (
        "Enfants confiés, Siège, interruption depuis 09:41. Cause\u00a0: coupure d’électricité, Courbevoie, Nanterre et Puteaux. "
        "Décidez le repli avant 10:30."
    )


def test_a_plan_of_a_pole_is_written_in_plain_words() -> None:
    text = said(template="plan_proposed", values=POWER | {"plan": "PCA-solidarites"})
    assert 'plan "Continuité du pole Solidarités" proposé' in text.sms
    assert "PCA" not in text.voice


@pytest.mark.parametrize("lang", ["fr", "en"])
@pytest.mark.parametrize(
    "template", ["plan_proposed", "stand_down_proposed", "card_overdue", "cards_opened"]
)
def test_a_plan_tells_the_danger_to_people_of_its_incident(lang: str, template: str) -> None:
    """D70: the message about a plan named the fire, and not its danger."""
    facts = POWER | {"plan": "PT-ELEC", "card": "ELEC-F01", "cards": 3, "limit_at": T0}
    words = {"fr": "Danger pour des personnes", "en": "Danger to people"}[lang]
    calm = every_text(said(lang, template=template, values=facts))
    text = said(lang, template=template, values=facts | {"danger": True})
    assert words not in calm
    for form in (text.sms, text.sms_one_way, text.voice, text.push, text.plain()):
        assert words in form
        assert f"{words}.." not in form
    assert count_septets(text.sms) <= 306


def test_a_call_tells_the_danger_once() -> None:
    assert said(danger=True, values=POWER | {"danger": True}).sms.count("Danger") == 1


def test_the_request_is_one_sentence_in_a_mail() -> None:
    assert "Ce qui vous est demandé\u00a0: prenez la direction de crise." in said().plain()


def test_a_headcount_names_its_sites_or_counts_them() -> None:
    assert said(template="headcount", values={"site": "cen-1"}).sms.startswith(
        "Vigie, Siège : etes-vous en sécurité ?"
    )
    assert said(template="headcount", values={"site": "cen-1, cen-2, cen-3"}).sms.startswith(
        "Vigie, 3 sites : etes-vous"
    )


def test_an_action_names_request_place_time_and_limit() -> None:
    values = POWER | {"site": "cen-1", "text": "x-1", "action": "a-1", "limit_at": T0 + 3_600_000}
    text = said(template="action_request", values=values, text="Coupez le gaz.")
    assert text.sms.startswith("Vigie N3, Siège, action demandée : Coupez le gaz. Coupure d'")
    assert "Faites-la avant 10:42. Répondez 1 : je prends, 2 : je ne peux pas." in text.sms
    assert text.sms.endswith(LINK)


def test_a_late_action_asks_the_assignee_for_its_completion() -> None:
    values = {"text": "x-1", "action": "a-1", "limit_at": T0 - 60_000}
    late = said(template="action_due", values=values, text="Coupez le gaz.")
    assert "Répondez 1 : c'est fait, 2 : je ne peux pas." in late.sms
    assert "Appuyez sur 1 si c’est fait" in late.voice.replace("'", "’")


def test_the_longest_action_has_two_segments() -> None:
    site = max(NAMES.sites, key=lambda id: len(NAMES.sites[id][0]))
    values = POWER | {"site": site, "text": "x-1", "action": "a-1", "limit_at": T0 + 90_000_000}
    names = ("request", "reminder", "due", "overdue", "declined", "cancelled")
    for lang in ("fr", "en"):
        for name in names:
            text = said(lang, template=f"action_{name}", values=values, text="É" * 160)
            assert count_septets(text.sms) <= SMS_MAX_SEPTETS, (lang, name)
            assert "É" * 160 in text.sms, (lang, name)


def test_an_instruction_has_the_text_of_the_cell_or_waits_on_the_page() -> None:
    """Two segments hold a sentence; a longer one is not cut, it is read on the page."""
    values = {"site": "cen-1", "text": "x-1", "limit_at": POWER["since"]}
    short = said(
        template="instruction",
        role="responsable_site",
        values=values,
        text="Coupez l’eau.",
        answer_expected=False,
    )
    assert (
        'Siège, consigne de la cellule : Coupez l\'eau. Répondez "Compris" dans Mes sites'
        in short.sms
    )
    assert "Coupez l’eau." in short.push
    long = said(
        template="instruction",
        role="responsable_site",
        values=values,
        text="Coupez l’eau. " * 25,
        answer_expected=False,
    )
    assert "à lire dans Mes sites" in long.sms
    assert "Coupez" not in long.sms
    assert "Coupez" in long.plain()


def test_fewer_than_three_agents_are_not_counted() -> None:
    text = said(
        template="reassignment_order", values=POWER | {"site": "cen-1", "agents": 2, "come": 5}
    )
    assert "moins de 3 agents" in text.sms
    assert "5 agents" in text.sms


ORDER = POWER | {
    "site": "pmi-01",
    "agents": 20,
    "stay_home": 8,
    "hosts": "cen-1",
    "host_count": 1,
    "come": 0,
    "begins_at": T0 + 3_600_000,
}


def test_an_order_names_its_destinations_and_its_end() -> None:
    """Rule D80: its manager read «ailleurs ou à domicile», and no end."""
    text = said(template="reassignment_order", role="responsable_site", values=ORDER)
    assert (
        "à partir de 10:42, jusqu'à nouvel ordre : 12 agents partent vers Siège, 8 agents travaillent à domicile. "
        "Choisissez dès maintenant"
    ) in text.sms
    ended = said(template="reassignment_order", values=ORDER | {"ends_at": T0 + 86_400_000})
    assert "jusqu'au 12/03 à 09:42" in ended.sms
    assert "12 agents partent vers Siège" in ended.push


def test_a_site_that_receives_agents_is_asked_to_receive_them() -> None:
    """Its manager was asked to choose the people, volunteers first."""
    coming = ORDER | {"agents": 0, "stay_home": None, "hosts": None, "come": 12}
    text = said(template="reassignment_order", values=coming)
    assert "12 agents viennent chez vous. Préparez dès maintenant leur accueil" in text.sms
    assert "Choisissez" not in every_text(text)
    assert "demandé : préparez dès maintenant leur accueil" in text.plain().replace("\xa0", " ")


def test_an_order_names_three_sites_and_counts_the_others() -> None:
    many = ORDER | {"hosts": "cen-1,cen-2,cen-3", "host_count": 5, "stay_home": None}
    text = said(template="reassignment_order", values=many)
    assert "Site central 3 (Nanterre-Université) et 2 autres sites" in text.plain()
    assert "20 agents partent vers 5 sites" in text.sms


def test_the_longest_order_has_two_segments_and_names_its_event() -> None:
    site = max(NAMES.sites, key=lambda id: len(NAMES.sites[id][0]))
    values = ORDER | {
        "site": site,
        "hosts": site,
        "agents": 200,
        "stay_home": 100,
        "come": 100,
        "begins_at": T0 + 86_400_000,
        "ends_at": T0 + 172_800_000,
    }
    for lang, what in (("fr", "coupure"), ("en", "power cut")):
        text = said(lang, template="reassignment_order", values=values)
        assert count_septets(text.sms) <= SMS_MAX_SEPTETS
        assert what in text.sms.lower()


@pytest.mark.parametrize("template", ["reassignment_over", "reassignment_recalled"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"agents": 4}, "Reviennent chez vous : 4 agents."),
        ({"come": 3}, "Repartent de chez vous : 3 agents."),
    ],
)
def test_both_managers_learn_of_returning_agents(
    template: str, values: dict[str, Any], told: str
) -> None:
    text = said(template=template, role="responsable_site", values={"site": "cen-1"} | values)
    assert told in text.sms
    assert ("Reviennent" in text.sms, "Repartent" in text.sms) == (
        "agents" in values,
        "come" in values,
    )


@pytest.mark.parametrize(
    ("template", "calls_back"),
    [
        ("reassignment_void", "faites-les revenir"),
        ("reassignment_stopped", "faites revenir"),
        ("reassignment_resumed", "Organisez leur départ dès maintenant"),
        ("reassignment_over", "Organisez leur retour"),
        ("reassignment_recalled", "Organisez leur retour"),
    ],
)
def test_no_message_calls_agents_back_to_a_site_under_an_order(
    template: str, calls_back: str
) -> None:
    values = {"site": "cen-1", "barred": "cen-2", "agents": 120}
    text = said(template=template, role="responsable_site", values=values)
    assert calls_back in text.sms
    warning = said(
        template=template, role="responsable_site", values=values | {"barred_homes": "cen-1"}
    )
    assert calls_back.lower() not in every_text(warning).lower()
    assert "consigne" in warning.sms
    assert count_septets(warning.sms) <= SMS_MAX_SEPTETS


def test_a_lowered_level_is_sent_as_information() -> None:
    text = said(template="information", values=POWER | {"from": 2, "lowered": 1})
    assert "Le niveau passe de N2 à N1." in text.sms
    assert "N3" not in every_text(text), (
        "the level of the territory is not what the message is about"
    )


def test_a_message_to_all_holds_only_its_text() -> None:
    text = said(template="callout", role=AGENT, level=Level.N0, text="Le site est fermé demain.")
    assert text.sms == "Vigie, cellule de crise : Le site est fermé demain."
    assert text.link is None


def test_a_bundle_starts_with_the_gravest_and_counts_the_rest() -> None:
    items = tuple(
        BundledItem(
            template=template,
            level=Level.N3,
            role="coordinateur_pca",
            values=ALARM | {"activity": f"SOL-0{n}"},
        )
        for n, template in enumerate(("card_overdue", "alarm_rto", "alarm_rto", "alarm_dmia"), 1)
    )
    text = said(
        template="plan_proposed",
        values=ALARM | {"plan": "PT-ELEC"},
        bundle=items[1:],
        bundle_count=3,
    )
    assert text.sms.startswith("Vigie N3 : 4 messages. Coupure d'électricité")
    assert text.sms.index("MDPH" if "MDPH" in text.sms else "PMI et vaccins") < len(text.sms)
    assert "durée maximale" in text.sms.partition(". ")[2].partition(". ")[2].split(". ")[0]
    assert text.plain().count("– ") >= 4


def test_a_bundle_separates_incidents() -> None:
    other = BundledItem(
        template="alarm_rto",
        level=Level.N2,
        role="x",
        values=ALARM | {"number": "other", "kind": "flood", "activity": "SOL-04", "pct": 50},
    )
    text = said(template="alarm_rto", values=ALARM, bundle=(other,), bundle_count=1)
    assert "crue de la Seine, 3 communes" in text.plain()


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("evacuated", "évacuation depuis 9 h 42, pompiers. personne ne rentre."),
        ("sheltering", "confinement depuis 9 h 42, pompiers. personne ne sort."),
        ("lifted", "fin de la consigne"),
    ],
)
def test_an_order_names_its_site_and_its_action(order: str, told: str) -> None:
    order_values = {"order": order, "ordered_at": T0, "giver": "pompiers"}
    text = said(
        template="site_order",
        role="responsable_site",
        values=POWER | {"kind": "fire", "site": "cen-1"} | order_values,
    )
    assert text.sms.startswith("Vigie N3, Siège : ")
    assert told in text.voice.lower()
    assert "https://vigie.example.fr/mes-sites" in text.sms


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ("evacuated", "fin de l'évacuation."),
        ("sheltering", "fin du confinement."),
        (None, "fin de la consigne d'évacuation ou de confinement."),
    ],
)
def test_the_end_of_an_order_names_it(ended: str | None, told: str) -> None:
    """Shelters end with the same people: the count is of those present."""
    order_values = {"site": "cen-1", "order": "lifted", "ordered_at": T0, "ended": ended}
    text = said(template="site_order", role="responsable_site", values=POWER | order_values)
    assert told in text.sms
    assert "présentes" in text.sms
    assert "revenues" not in every_text(text)


def test_a_withdrawn_call_names_its_incident_and_reason() -> None:
    text = said(template="withdrawn", values=POWER | {"end": "closed"}, answer_expected=False)
    assert text.sms == (
        "Vigie : appel sans objet. Coupure d'électricité, Courbevoie, Nanterre et Puteaux (5 sites), depuis 09:40 : incident clos. "
        "Ne répondez plus à l'appel, merci."
    )


def test_a_correction_marks_the_earlier_message_as_wrong() -> None:
    text = said(
        template="callout_correction",
        role=AGENT,
        values={"text": "t"},
        text="Le SST de Suresnes rouvre à 14 h.",
        answer_expected=False,
    )
    assert text.sms == (
        "Vigie, cellule de crise, rectificatif : Le SST de Suresnes rouvre à 14 h. Ne suivez plus le message précédent."
    )


@pytest.mark.parametrize("template", ["exercise_wave", "exercise_start", "exercise_end"])
def test_a_message_of_an_exercise_begins_with_its_mark(template: str) -> None:
    for lang, mark in (("fr", "exerci"), ("en", "exerci")):
        text = said(lang, template=template, values=EVERYTHING)
        for channel_text in (text.sms, text.voice, text.subject, text.push_title):
            assert mark in channel_text.lower()[:24]


# ── what holds for all of them ───────────────────────────────────────────────────────────────────────────────────────


def test_every_request_of_alerts_and_continuity_has_its_own_text() -> None:
    request_codes = get_args(AttentionRequested.model_fields["code"].annotation)
    needed = {f"{code}_{base}" for code in ("alarm", "forecast") for base in ("rto", "dmia")} | {
        *request_codes
    } - {"alarm", "forecast"}
    needed.remove("sitrep_due")  # a task, never a message
    assert needed <= set(load_phrases("fr").templates)


TEMPLATES = sorted(load_phrases("fr").templates)


@pytest.mark.parametrize("template", [*TEMPLATES, "a_template_of_a_newer_alerts"])
@pytest.mark.parametrize("lang", ["fr", "en", "xx"])
def test_every_template_is_short_whole_and_without_codes(lang: str, template: str) -> None:
    values = EVERYTHING | ({"from": 2, "lowered": 1} if template == "information_lowered" else {})
    values |= AREA_ORDERS.get(template, {})
    text = said(
        lang,
        template=re.sub("_(lowered|over|area|sites)$", "", template),
        values=values,
        scope="solidarites",
        previous_level=Level.N2,
        text="Texte.",
        danger=True,
    )
    whole_text = every_text(text)
    assert not re.search(
        r"[{}⟨⟩⟦⟧]|None|SOL-0|PT-ELEC|cen-1|92-2027|92026|appelez la cellule de crise|call the crisis cell\.",
        whole_text,
    )
    assert count_septets(text.sms) <= SMS_MAX_SEPTETS
    assert count_septets(text.sms_one_way) <= SMS_MAX_SEPTETS
    assert len(encode_text(text.sms).segments) <= 2
    assert len(text.voice) <= VOICE_MAX_CHARACTERS
    assert len(text.subject) <= SUBJECT_MAX_CHARACTERS


@pytest.mark.parametrize("template", sorted(set(TEMPLATES) - OPEN_ENDED))
def test_every_message_names_request_and_limit(template: str) -> None:
    """Rule D70: read aloud, in an SMS, on a telephone's screen and in a mail."""
    changes = {
        "information_lowered": {"from": 2, "lowered": 1},
        **AREA_ORDERS,
    }.get(template, {})
    is_of_site = template.endswith(("_local", "_own_sites"))
    role = "responsable_site" if is_of_site else "dgs_directeur_de_crise"
    name = re.sub("_(lowered|local|own_sites|sites)$|(?<=(order|anger))_over$", "", template)
    free_text = "Coupez l’eau." if name == "instruction" or name.startswith("action_") else None
    text = said(
        template=name,
        role=role,
        values=EVERYTHING | changes,
        previous_level=Level.N2,
        text=free_text,
    )
    for channel_text in (text.sms, text.voice, text.push, "\n".join(text.lines)):
        assert ASKED.search(channel_text.lower()), channel_text
        assert UNTIL.search(channel_text.lower()), channel_text


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("lang", ["fr", "en"])
def test_a_message_without_its_values_still_has_a_text(lang: str, template: str) -> None:
    """An old log has fewer of them; a message is never dropped."""
    text = said(lang, template=template, values={})
    assert text.sms.startswith("Vigie")
    assert not re.search(r"[{}⟨⟩⟦⟧]|None", every_text(text))


def test_a_message_without_values_asks_to_call_the_cell() -> None:
    assert said(template="alarm_dmia", values={}).sms == "Vigie N3 : appelez la cellule de crise."


@pytest.mark.parametrize("kind", sorted(load_phrases("fr").words["kinds"]))
@pytest.mark.parametrize("template", ["incident_wave", "level_raised", "answer_stale"])
def test_the_longest_call_has_two_segments(template: str, kind: str) -> None:
    """Longest site, danger, date, bridge: the bridge goes first, then part of the answer."""
    site = max(NAMES.sites, key=lambda id: len(NAMES.sites[id][0]))
    values = POWER | {
        "kind": kind,
        "event": "partial_closure",
        "only_site": site,
        "members": 1,
        "since": T0 - 86_400_000,
    }
    for lang in ("fr", "en"):
        text = said(
            lang,
            template=template,
            values=values,
            danger=True,
            previous_level=Level.N2,
            role="president",
            level=Level.N4,
        )
        assert count_septets(text.sms) <= SMS_MAX_SEPTETS
        assert count_septets(text.sms_one_way) <= SMS_MAX_SEPTETS
        assert NAMES.sites[site][0] in text.voice
        assert "Clamart" in text.sms


def _list_names(template: str) -> set[str]:
    return {name for passage in split_template(template) for name in passage.names}


def test_both_languages_use_the_same_values() -> None:
    french, english = load_phrases("fr").templates, load_phrases("en").templates
    assert french.keys() == english.keys()
    for template, shapes in french.items():
        assert shapes.keys() == english[template].keys(), template
        for name, shape in shapes.items():
            assert _list_names(shape) == _list_names(english[template][name]), f"{template}, {name}"
    assert load_phrases("fr").words.keys() | {"levels", "roles"} == load_phrases("en").words.keys()


def test_every_role_of_the_territory_has_an_english_name() -> None:
    assert set(NAMES.roles) <= set(load_phrases("en").words["roles"])


def test_information_offers_no_answer() -> None:
    text = said(template="information")
    assert text.link is None
    assert text.keys == ()
    assert LINK not in every_text(text) + text.html()


@pytest.mark.parametrize("danger", [False, True])
def test_information_of_the_crisis_tells_danger_to_people(*, danger: bool) -> None:
    text = said(template="information", danger=danger)
    for part in (text.sms, text.voice, text.push, text.plain()):
        assert ("Danger" in part) is danger


def test_a_channel_without_replies_asks_for_none() -> None:
    text = said()
    assert "Répondez 1" not in text.sms_one_way
    assert LINK in text.sms_one_way


def test_html_has_the_same_text_and_escapes_it() -> None:
    text = compose_message(row(role="<b>x</b>"), MessageNames(), load_phrases("fr"), LINK)
    html = text.html()
    assert "<b>x</b>" not in html
    assert f'href="{LINK}"' in html
    assert not re.search(r"<(img|script|link|iframe)|https?://(?!vigie\.example)", html)


def test_french_keeps_its_punctuation_together() -> None:
    plain = said().plain()
    assert " :" not in plain
    assert "\u00a0:" in plain


@pytest.mark.parametrize(
    ("role", "has_managers"), [("responsable_site", True), ("directeur_pole", False)]
)
def test_an_order_about_several_sites_calls_no_manager_unreachable_to_himself(
    role: str, has_managers: bool
) -> None:
    text = said(
        template="area_order", role=role, values={"site": "cen-1,pmi-01", "order": "evacuated"}
    )
    assert ("Vos sites" in text.sms) is has_managers
    assert ("responsable joignable" in text.sms) is not has_managers
