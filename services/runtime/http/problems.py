"""Problem documents (RFC 9457), shared by front and console, in French or English.

They name the fault, its place and the remedy. A problem is a code of `CATALOGUE` and the values for
its sentence. The code is stable and is the last part of `type`; sentences may be reworded. No
sentence repeats the sender's text, which may be personal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from pydantic import ValidationError

Language = Literal["fr", "en"]
MEDIA_TYPE: Final = "application/problem+json"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "retry_after_s": {"type": "integer"},
        "command_id": {"type": "string"},
        "unknown_fields": {"type": "array", "items": {"type": "string"}},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
"""JSON Schema of a problem document, for OpenAPI."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """Meaning of one code; sentences are `str.format` templates."""

    status: int
    title: Mapping[Language, str]
    detail: Mapping[Language, str]


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A wrong field: a path such as `effective.0.from`, a stable code, a sentence per language."""

    field: str
    code: str
    message: Mapping[Language, str]


SentenceValue = str | int | float | Mapping[Language, str]
"""Value of a placeholder in a sentence. A value that is itself text has both languages."""


@dataclass(frozen=True, slots=True)
class Problem:
    code: str
    values: Mapping[str, SentenceValue] = field(default_factory=dict)
    faults: tuple[FieldFault, ...] = ()
    retry_after_s: int | None = None
    """Sent as `Retry-After`: the sender may send the same request again."""

    @property
    def kind(self) -> ProblemKind:
        return CATALOGUE[self.code]

    @property
    def status(self) -> int:
        return self.kind.status

    def sentence(self, language: Language) -> str:
        """Return the detail, with the first faulty field if there is one.

        An object that does not exist is named alone: the address of the request was right.
        """
        if self.code == "not_found" and self.faults:
            missing = self.faults[0].message[language]
            return f"{missing[:1].upper()}{missing[1:]}."
        values = {
            name: value[language] if isinstance(value, Mapping) else value
            for name, value in self.values.items()
        }
        if self.code == "out_of_scope":
            values["subject"] = SCOPE_SUBJECTS[str(self.values["field"])][language]
        text = self.kind.detail[language].format_map(values)
        if self.faults:
            text = f"{text} {self.faults[0].field}: {self.faults[0].message[language]}"
        return text

    def document(self, language: Language, instance: str | None = None) -> dict[str, Any]:
        """Return the members of the document."""
        doc: dict[str, Any] = {
            "type": f"urn:vigie:problem:{self.code}",
            "title": self.kind.title[language],
            "status": self.status,
            "detail": self.sentence(language),
            "code": self.code,
        }
        if self.faults:
            doc["errors"] = [
                {"field": f.field, "code": f.code, "detail": f.message[language]}
                for f in self.faults
            ]
        if instance is not None:
            doc["instance"] = instance
        if self.retry_after_s is not None:
            doc["retry_after_s"] = self.retry_after_s
        return doc

    def body(self, language: Language, instance: str | None = None) -> bytes:
        """Return the document as a response body."""
        return orjson.dumps(self.document(language, instance))


class ProblemError(Exception):
    """End the request with this problem."""

    def __init__(
        self,
        code: str,
        *,
        faults: tuple[FieldFault, ...] = (),
        retry_after_s: int | None = None,
        **values: SentenceValue,
    ) -> None:
        self.problem = Problem(code, values, faults, retry_after_s)
        super().__init__(f"{code}: {self.problem.sentence('en')}")


def build_bilingual(fr: str, en: str) -> dict[Language, str]:
    """Return a sentence in the two languages."""
    return {"fr": fr, "en": en}


def describe_size(size: int) -> dict[Language, str]:
    """Write a number of bytes, such as `4 Mo`."""
    if size >= 1 << 20:
        return build_bilingual(f"{size >> 20} Mo", f"{size >> 20} MB")
    if size >= 1 << 10:
        return build_bilingual(f"{size >> 10} ko", f"{size >> 10} KB")
    return build_bilingual(f"{size} octets", f"{size} bytes")


def declare_problem(
    code: str, status: int, title: Mapping[Language, str], detail: Mapping[Language, str]
) -> None:
    """Add a code of one service to the catalogue. Raises ValueError on one that exists."""
    if code in CATALOGUE:
        raise ValueError(f"problem code declared twice: {code}")
    CATALOGUE[code] = ProblemKind(status, title, detail)


def _build_catalogue() -> dict[str, ProblemKind]:
    rows: tuple[tuple[str, int, str, str, str, str], ...] = (
        (
            "unauthenticated",
            401,
            "Authentification requise",
            "Authentication required",
            "Connectez-vous, ou envoyez un jeton valable (Authorization: Bearer …).",
            "Log in, or send a valid token (Authorization: Bearer …).",
        ),
        (
            "login_failed",
            401,
            "Connexion refusée",
            "Login refused",
            (
                "Le code, l’identifiant, le mot de passe ou le second facteur est incorrect. "
                "Vérifiez votre saisie ; si le refus persiste, appelez un administrateur ou la "
                "cellule."
            ),
            (
                "The code, the user name, the password or the second factor is wrong. Check your "
                "entry; if it is refused again, call an administrator or the cell."
            ),
        ),
        (
            "code_unchecked",
            503,
            "Code pas encore vérifié",
            "Code not checked yet",
            (
                "Ce code n’est pas connu ici, et le journal, où il peut se trouver, ne répond pas "
                ": essayez de nouveau dans quelques secondes."
            ),
            (
                "This code is not known here, and the log, where it may be, does not answer: try "
                "again in a few seconds."
            ),
        ),
        (
            "too_much_at_once",
            429,
            "Trop de demandes à la fois",
            "Too much at once",
            "Vos demandes précédentes de ce genre ne sont pas terminées : attendez {wait_s} s.",
            "Your earlier requests of this kind are still running: wait {wait_s} s.",
        ),
        (
            "too_many_attempts",
            429,
            "Trop de tentatives",
            "Too many attempts",
            "Attendez {wait_s} s avant une nouvelle tentative.",
            "Wait {wait_s} s before you try again.",
        ),
        (
            "photo_quota",
            403,
            "Trop de photos aujourd’hui",
            "Too many photos today",
            (
                "Vous avez atteint le nombre de photos conservées par personne et "
                "par jour. Envoyez le signalement sans photo."
            ),
            (
                "You have reached the number of photos that are kept per person and day. Send "
                "the report without a photo."
            ),
        ),
        (
            "other_author",
            409,
            "Écrit sous un autre compte",
            "Written with another account",
            "Écrit sous un autre compte : reconnectez-vous sous ce compte ou envoyez à votre nom.",
            "Written with another account: log in with that account or send it in your own name.",
        ),
        (
            "passkey_needs_name",
            409,
            "Clé d’accès impossible à cette adresse",
            "No passkey at this address",
            (
                "Une clé d’accès est liée au nom de la machine : ouvrez cette page par son nom, "
                "en HTTPS, ou par localhost."
            ),
            (
                "A passkey is bound to the name of the machine: open this page by its name, over "
                "HTTPS, or by localhost."
            ),
        ),
        (
            "oidc_away",
            503,
            "Fournisseur d’identité indisponible",
            "Identity provider unavailable",
            (
                "Le fournisseur d’identité ne répond pas. Connectez-vous avec un compte local, une clé "
                "d’accès ou un code : ces moyens n’en dépendent pas."
            ),
            (
                "The identity provider does not answer. Log in with a local account, a passkey "
                "or a code: they do not depend on it."
            ),
        ),
        (
            "oidc_refused",
            401,
            "Identité non confirmée",
            "Identity not confirmed",
            (
                "Le fournisseur d’identité n’a pas confirmé votre identité, ou la demande est trop "
                "ancienne. Recommencez, ou connectez-vous avec un compte local."
            ),
            (
                "The identity provider did not confirm your identity, or the request is too old. "
                "Start again, or log in with a local account."
            ),
        ),
        (
            "oidc_unknown",
            403,
            "Aucun compte",
            "No account",
            (
                "Votre identité est confirmée, mais aucun compte actif de Vigie ne vous "
                "appartient. Demandez-en un aux administrateurs."
            ),
            (
                "Your identity is confirmed, but you have no active account in Vigie. Ask the "
                "administrators for one."
            ),
        ),
        (
            "oidc_unapproved",
            403,
            "Lien à approuver",
            "Link to be approved",
            (
                "Votre identité est confirmée. Ce compte peut décider : demandez aux administrateurs "
                "d’autoriser le premier lien (vigie user link), puis recommencez."
            ),
            (
                "Your identity is confirmed. This account may decide: ask the administrators to "
                "allow the first link (vigie user link), then try again."
            ),
        ),
        (
            "second_factor_needed",
            403,
            "Second facteur à ajouter",
            "Second factor to be added",
            (
                "Un mot de passe seul ne suffit pas pour ce rôle : ajoutez un second facteur "
                "(page Mon compte), puis recommencez."
            ),
            (
                "A password alone is not enough for this role: add a second factor (page My "
                "account), then try again."
            ),
        ),
        (
            "proof_needed",
            403,
            "Reconnectez-vous",
            "Log in again",
            (
                "Pour changer vos moyens de connexion, reconnectez-vous d’abord : votre session a "
                "plus de dix minutes."
            ),
            ("To change your login, log in again first: your session is older than ten minutes."),
        ),
        (
            "csrf",
            403,
            "Demande non vérifiée",
            "Unverified request",
            "La page est trop ancienne ou la demande vient d’un autre site : rechargez la page.",
            "The page is too old or the request comes from another site: reload the page.",
        ),
        (
            "origin_foreign",
            403,
            "Adresse non reconnue",
            "Address not recognised",
            (
                "Le navigateur est sur {origin}, mais la demande est arrivée pour {host}. Ouvrez Vigie "
                "sous cette adresse ou, derrière un proxy, demandez à l’administrateur que le proxy "
                "transmette l’en-tête Host (ou X-Forwarded-Host, avec VIGIE_PROXIES), ou que "
                "VIGIE_PUBLIC_URL porte l’adresse du navigateur."
            ),
            (
                "The browser is at {origin}, but the request arrived for {host}. Open Vigie under that "
                "address or, behind a proxy, ask the administrator that the proxy passes the header "
                "Host on (or X-Forwarded-Host, with VIGIE_PROXIES), or that VIGIE_PUBLIC_URL is the "
                "address of the browser."
            ),
        ),
        (
            "forbidden",
            403,
            "Droit insuffisant",
            "Not permitted",
            "Le rôle « {role} » ne le permet pas. Il faut : {able}.",
            "Role “{role}” does not allow it. It needs: {able}.",
        ),
        (
            "other_door",
            403,
            "Clé d’une autre adresse",
            "Key of another address",
            "Cette clé est celle de la source « {source} » ({dialect}), à envoyer à {address}.",
            "This key is that of source “{source}” ({dialect}): use it at {address}.",
        ),
        (
            "out_of_scope",
            403,
            "Hors du périmètre",
            "Out of scope",
            "{subject} est hors du périmètre de votre compte.",
            "{subject} is outside the scope of this account ({field}).",
        ),
        (
            "recorded_at_forbidden",
            403,
            "Heure de réception refusée",
            "recorded_at refused",
            (
                "« recorded_at » n’est accepté que d’un compte autorisé à jouer un exercice : "
                "retirez ce champ."
            ),
            (
                "“recorded_at” is accepted only from an account that may play an exercise: "
                "remove this field."
            ),
        ),
        (
            "not_found",
            404,
            "Introuvable",
            "Not found",
            "Cette adresse n’existe pas : vérifiez-la, ou repartez de l’accueil.",
            "This address does not exist: check it, or start from the home page.",
        ),
        (
            "realm_unknown",
            404,
            "Territoire inconnu",
            "Unknown realm",
            (
                "Aucun territoire ni exercice de ce nom n’existe ici : vérifiez le nom, ou "
                "choisissez dans la liste."
            ),
            "There is no realm of this name here: check the name, or choose from the list.",
        ),
        (
            "realm_not_begun",
            404,
            "Avant l’ouverture",
            "Before the opening",
            "Rien n’était encore ouvert à cette heure : choisissez une heure plus récente.",
            "This realm was not open yet at that time: choose a later one.",
        ),
        (
            "realm_closed",
            409,
            "Exercice terminé",
            "Exercise over",
            "Cet exercice est terminé : il n’accepte plus de signalement.",
            "This exercise is over: it accepts no further report.",
        ),
        (
            "method_not_allowed",
            405,
            "Méthode refusée",
            "Method not allowed",
            "Méthodes possibles ici : {allowed}.",
            "Methods possible here: {allowed}.",
        ),
        ("conflict", 409, "Conflit", "Conflict", "{what}", "{what}"),
        (
            "second_person",
            403,
            "Seconde personne nécessaire",
            "Second person needed",
            (
                "L’auteur de la proposition ne peut pas approuver l’effacement : une autre personne "
                "doit le faire."
            ),
            "The author of the proposal cannot approve the erasure: another person must do so.",
        ),
        (
            "no_erasure",
            409,
            "Aucun effacement proposé",
            "No erasure proposed",
            "L’effacement de ce texte n’est pas proposé, ou sa proposition a été refusée ou retirée.",
            "The erasure of this text is not proposed, or its proposal was declined or withdrawn.",
        ),
        (
            "erasure_proposed",
            409,
            "Effacement déjà proposé",
            "Erasure already proposed",
            (
                "Une autre personne a déjà proposé d’effacer ce texte : approuvez ou refusez sa "
                "proposition (Main courante, Effacements proposés)."
            ),
            (
                "Another person has already proposed to erase this text: approve or decline that "
                "proposal (logbook, proposed erasures)."
            ),
        ),
        ("erased", 410, "Effacé", "Erased", "Ce texte a été effacé.", "This text has been erased."),
        (
            "precondition_failed",
            412,
            "Version dépassée",
            "Outdated version",
            "Une autre décision a été prise entre-temps : relisez, puis recommencez.",
            "Another decision was made in the meantime: read again, then retry.",
        ),
        (
            "host_required",
            400,
            "Hôte absent, répété ou invalide",
            "Missing, repeated or invalid host",
            "Une requête HTTP/1.1 nomme exactement un hôte valide (en-tête « Host »).",
            "An HTTP/1.1 request names exactly one valid host (header “Host”).",
        ),
        (
            "head_unclear",
            400,
            "En-têtes ambigus",
            "Unclear headers",
            "La requête peut se lire de deux façons : {what}.",
            "The request can be read in two ways: {what}.",
        ),
        (
            "url_too_long",
            414,
            "Adresse trop longue",
            "Address too long",
            (
                "L’adresse dépasse {limit} octets : raccourcissez-la, par exemple en retirant "
                "des filtres."
            ),
            (
                "The address is longer than {limit} bytes: shorten it, for example by removing "
                "filters."
            ),
        ),
        (
            "head_too_large",
            431,
            "En-têtes trop grands",
            "Headers too large",
            (
                "Les en-têtes dépassent {limit} octets ou le nombre de {headers}. Dans un "
                "navigateur, effacez les cookies de ce site."
            ),
            (
                "The headers exceed {limit} bytes or the number of {headers}. In a browser, "
                "delete the cookies of this site."
            ),
        ),
        (
            "too_many_connections",
            503,
            "Trop de connexions",
            "Too many connections",
            (
                "Trop de connexions de votre adresse sont actives : fermez-en, puis renvoyez le "
                "même message."
            ),
            (
                "Too many connections of your address are active: close some, then send the same "
                "message again."
            ),
        ),
        (
            "body_too_large",
            413,
            "Contenu trop volumineux",
            "Body too large",
            "Ce fichier ou ce texte est trop volumineux : {limit} au plus.",
            "The body is larger than {limit}.",
        ),
        (
            "media_type",
            415,
            "Format refusé",
            "Unsupported media type",
            "Envoyez {expected}.",
            "Send {expected}.",
        ),
        (
            "content_encoding",
            415,
            "Contenu compressé refusé",
            "Compressed content refused",
            "Envoyez le contenu sans compression, donc sans Content-Encoding.",
            "Send the body without compression, so without Content-Encoding.",
        ),
        (
            "invalid",
            422,
            "Contenu refusé",
            "Invalid content",
            "Un champ n’est pas valable.",
            "A field is invalid.",
        ),
        (
            "measure_reserved",
            422,
            "Mesure réservée",
            "Reserved measure",
            "Cette mesure est réservée à : {sources}.",
            "This measure is reserved for: {sources}.",
        ),
        ("calendar_refused", 422, "Calendrier refusé", "Calendar refused", "{why}", "{why}"),
        (
            "not_json",
            422,
            "JSON illisible",
            "Unreadable JSON",
            "Le contenu n’est pas du JSON valable : corrigez-le, puis renvoyez-le.",
            "The body is not valid JSON: correct it, then send it again.",
        ),
        (
            "key_reused",
            422,
            "Clé déjà utilisée",
            "Key used before",
            (
                "Cette Idempotency-Key a déjà servi pour un autre contenu : donnez une autre clé "
                "à ce message."
            ),
            (
                "This Idempotency-Key was used before with another body: give this message "
                "another key."
            ),
        ),
        (
            "key_invalid",
            422,
            "Clé refusée",
            "Key refused",
            "Une Idempotency-Key compte 1 à 128 caractères : corrigez-la.",
            "An Idempotency-Key has 1 to 128 characters: correct it.",
        ),
        (
            "cursor_invalid",
            422,
            "Page suivante illisible",
            "Cursor refused",
            (
                "Renvoyez le « next » de la page précédente sans le modifier, ou repartez de la "
                "première page."
            ),
            "Send the “next” of the previous page unchanged, or start from the first page.",
        ),
        (
            "recorded_at_live",
            422,
            "Heure de réception refusée",
            "recorded_at refused",
            "« recorded_at » n’existe que dans un territoire d’exercice : retirez ce champ.",
            "“recorded_at” exists only in a simulated realm: remove this field.",
        ),
        (
            "status_realm",
            422,
            "Exercice hors d’un territoire d’exercice",
            "Exercise outside an exercise realm",
            (
                "Un message d’exercice ou d’essai n’entre jamais dans le territoire réel : nommez "
                "un territoire d’exercice dans « realm »."
            ),
            (
                "An exercise or test message never enters a live realm: name an exercise realm in "
                "“realm”."
            ),
        ),
        (
            "broker_away",
            503,
            "Journal indisponible",
            "Log unavailable",
            "Le journal ne répond pas : rien n’a été accepté, renvoyez le même message.",
            "The log does not answer: nothing was accepted, send the same message again.",
        ),
        (
            "storage",
            503,
            "Disque indisponible",
            "Disk unavailable",
            "Le disque refuse d’écrire : rien n’a été accepté, renvoyez le même message.",
            "The disk refuses to write: nothing was accepted, send the same message again.",
        ),
        (
            "overloaded",
            503,
            "Trop de signalements à la fois",
            "Too many reports at once",
            "Renvoyez le même message dans {wait_s} s.",
            "Send the same message again in {wait_s} s.",
        ),
        (
            "decider_behind",
            503,
            "Décisions en retard",
            "Decisions are behind",
            (
                "Les signalements déjà acceptés attendent leur décision depuis environ {lag_s} s "
                ": renvoyez le même message dans {wait_s} s. Un danger pour les personnes est "
                "accepté."
            ),
            (
                "Reports that were accepted wait about {lag_s} s for their decision: send the "
                "same message again in {wait_s} s. Danger to people is accepted."
            ),
        ),
        (
            "over_rate",
            503,
            "Débit dépassé",
            "Rate exceeded",
            (
                "Cet émetteur dépasse son débit de {rate} signalements par seconde : renvoyez le "
                "même message dans {wait_s} s."
            ),
            (
                "This sender exceeds its rate of {rate} reports per second: send the same message "
                "again in {wait_s} s."
            ),
        ),
        (
            "request_timeout",
            503,
            "Envoi trop lent",
            "Body too slow",
            "Le contenu n’est pas arrivé en {limit_s} s : renvoyez le même message.",
            "The body did not arrive within {limit_s} s: send the same message again.",
        ),
        (
            "starting",
            503,
            "Démarrage en cours",
            "Starting",
            "Le service démarre : renvoyez le même message.",
            "The service is starting: send the same message again.",
        ),
        (
            "console_away",
            503,
            "Console indisponible",
            "Console unavailable",
            (
                "La console ne répond pas : réessayez dans une minute. Les signalements restent "
                "acceptés. Si cela dure, prévenez l’administrateur."
            ),
            (
                "The console does not answer: try again in a minute. Reports are still accepted. "
                "If it lasts, tell the administrator."
            ),
        ),
        (
            "process_away",
            503,
            "Processus indisponible",
            "Process unavailable",
            (
                "Le processus {process} ne répond pas : réessayez dans une minute. Si cela dure, "
                "`vigie status` donne la raison à l’administrateur."
            ),
            (
                "The process {process} does not answer: try again in a minute. If it lasts, "
                "`vigie status` tells the administrator why."
            ),
        ),
        (
            "outcome_unknown",
            503,
            "Issue inconnue",
            "Outcome unknown",
            (
                "La console n’a pas répondu : votre demande a peut-être pris effet. Rechargez la "
                "page pour le vérifier avant de recommencer."
            ),
            (
                "The console did not answer: your request may have taken effect. Read again to "
                "see whether it did before you retry."
            ),
        ),
        (
            "internal",
            500,
            "Erreur interne",
            "Internal error",
            (
                "Une erreur inattendue s’est produite : réessayez une fois. Si elle se répète, "
                "donnez la référence {reference} à l’administrateur."
            ),
            (
                "An unexpected error occurred: try again once. If it comes back, give the "
                "reference {reference} to the administrator."
            ),
        ),
    )
    return {
        code: ProblemKind(status, build_bilingual(fr, en), build_bilingual(detail_fr, detail_en))
        for code, status, fr, en, detail_fr, detail_en in rows
    }


CATALOGUE: Final[dict[str, ProblemKind]] = _build_catalogue()

_WHOLE_TERRITORY: Final = build_bilingual(
    "Ce qui concerne tout le territoire", "Anything about the whole territory"
)
_REALM: Final = build_bilingual("Ce territoire ou cet exercice", "This realm")
_SITE: Final = build_bilingual("Ce site", "This site")
_SITES: Final = build_bilingual("Un de ces sites, au moins,", "At least one of these sites")
_POLE: Final = build_bilingual("Ce pôle", "This pôle")
SCOPE_SUBJECTS: Final[dict[str, dict[Language, str]]] = {
    "access": build_bilingual("La gestion des comptes", "The administration of accounts"),
    "area": build_bilingual("Une partie de cette zone", "A part of this area"),
    "assignee": build_bilingual("Ce destinataire", "This assignee"),
    "card": build_bilingual("Cette fiche", "This card"),
    "commune": build_bilingual("Cette commune", "This commune"),
    "id": _REALM,
    "incident": _WHOLE_TERRITORY,
    "lifts": build_bilingual("La fin de ce type d’événement", "The end of this type of event"),
    "lines": build_bilingual("Une de ces lignes, au moins,", "At least one of these lines"),
    "partner": build_bilingual("Ce partenaire", "This partner"),
    "person": build_bilingual("Cette personne", "This person"),
    "plan": build_bilingual("Ce plan", "This plan"),
    "pole": _POLE,
    "poles": build_bilingual("Un de ces pôles, au moins,", "At least one of these pôles"),
    "realm": _REALM,
    "references": build_bilingual("Le signalement cité", "The report that it refers to"),
    "refused": build_bilingual("Le renvoi d’un message refusé", "The replay of a refused message"),
    "site": _SITE,
    "site_id": _SITE,
    "sites": _SITES,
    "stock": build_bilingual("Ce stock", "This stock"),
    "territory": _WHOLE_TERRITORY,
    "type": build_bilingual("Ce type d’événement", "This type of event"),
    "zone": build_bilingual("Une de ces communes, au moins,", "At least one of these communes"),
}
"""Field that exceeds a scope → its subject in the sentence of `out_of_scope`."""

_FRENCH_MESSAGES: Final[dict[str, str]] = {
    "missing": "champ obligatoire",
    "enum": "valeurs possibles : {expected}",
    "literal_error": "valeurs possibles : {expected}",
    "int_type": "doit être un nombre entier",
    "int_parsing": "doit être un nombre entier",
    "int_from_float": "doit être un nombre entier",
    "float_type": "doit être un nombre",
    "float_parsing": "doit être un nombre",
    "finite_number": "doit être un nombre fini",
    "string_type": "doit être un texte",
    "bool_type": "doit être vrai ou faux",
    "string_too_long": "{max_length} au plus",
    "string_too_short": "{min_length} au moins",
    "string_pattern_mismatch": "doit correspondre à {pattern}",
    "too_long": "{max_length} éléments au plus",
    "greater_than_equal": "doit être au moins {ge}",
    "less_than_equal": "doit être au plus {le}",
    "datetime_type": "doit être une date ISO 8601 avec son décalage (2027-02-11T09:40:00+01:00)",
    "datetime_parsing": "doit être une date ISO 8601 avec son décalage (2027-02-11T09:40:00+01:00)",
    "datetime_from_date_parsing": (
        "doit être une date ISO 8601 avec son décalage (2027-02-11T09:40:00+01:00)"
    ),
    "datetime_object_invalid": (
        "doit être une date ISO 8601 avec son décalage (2027-02-11T09:40:00+01:00)"
    ),
    "clock": "une heure locale comme 08:00",
    "clock_span": "deux heures comme 20:00-08:00 ; vide : jour et nuit",
    "timezone_aware": "il manque le décalage horaire (par exemple +01:00)",
    "model_type": "doit être un objet JSON",
    "model_attributes_type": "doit être un objet JSON",
    "dict_type": "doit être un objet JSON",
    "tuple_type": "doit être une liste",
    "list_type": "doit être une liste",
    "json_invalid": "JSON illisible",
}
"""French sentences for pydantic's error types; a missing one appears in English."""
_LENGTHS: Final = ("min_length", "max_length")
_TYPE_LOCATION: Final = re.compile(
    r"(?:constrained-)?(?:str|int|float|bool|list|tuple|dict)|[a-z-]+\[.*\]", re.DOTALL
)
"""Locations of pydantic that are no field names: the type that it tried for a union."""


def list_faults(error: ValidationError, *, limit: int = 20) -> tuple[FieldFault, ...]:
    """Return the wrong fields of a body without their values, at most `limit`.

    For a field that may be of several types, the first fault counts.
    """
    faults_by_field: dict[str, FieldFault] = {}
    for one in map(convert_fault, error.errors(include_url=False, include_input=False)):
        faults_by_field.setdefault(one.field, one)
    return tuple(faults_by_field.values())[:limit]


def convert_fault(e: Mapping[str, Any], *, skip: str = "") -> FieldFault:
    """Convert one entry of pydantic's `errors()`.

    `skip` is a first location that is not part of the body.
    """
    code, ctx = e["type"], e.get("ctx", {})
    english = str(ctx["error"]) if code == "value_error" and "error" in ctx else e["msg"]
    template = _FRENCH_MESSAGES.get(code)
    values = ctx | {"expected": str(ctx.get("expected", "")).replace(" or ", " ou ")}
    if code in ("string_too_long", "string_too_short"):
        values |= {name: _count_characters(ctx[name]) for name in _LENGTHS if name in ctx}
    try:
        french = template.format_map(values) if template else english
    except KeyError:
        french = english
    path = e["loc"][1:] if e["loc"] and e["loc"][0] == skip else e["loc"]
    if code == "json_invalid":  # FastAPI names the place in the text, which is no field
        path = ()
    field_path = (
        str(step) for step in path if not (isinstance(step, str) and _TYPE_LOCATION.fullmatch(step))
    )
    return FieldFault(".".join(field_path) or "body", code, build_bilingual(french, english))


def _count_characters(count: int) -> str:
    """Write a number of characters in French, such as `4 000 caractères`."""
    number = f"{count:,}".replace(",", "\u202f")
    return f"{number} caractère{'s' if count > 1 else ''}"


def build_fault(name: str, code: str, fr: str, en: str) -> FieldFault:
    """Return a fault that pydantic did not find."""
    return FieldFault(name, code, build_bilingual(fr, en))


def build_field_problem(name: str, code: str, fr: str, en: str) -> ProblemError:
    """Return `invalid` for one field."""
    return ProblemError("invalid", faults=(build_fault(name, code, fr, en),))


def build_conflict(fr: str, en: str) -> ProblemError:
    return ProblemError("conflict", what=build_bilingual(fr, en))


def build_unknown_problem(name: str, fr: str, en: str) -> ProblemError:
    """Return a `not_found` problem that names the kind of the missing object."""
    return ProblemError("not_found", faults=(build_fault(name, "unknown", fr, en),))
