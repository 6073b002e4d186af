"""Declare the problems of the console in the catalogue of `services.runtime.http.problems`."""

from services.runtime.http.problems import ProblemError, build_bilingual, declare_problem

declare_problem(
    "resource_unknown",
    404,
    build_bilingual("Introuvable", "Not found"),
    build_bilingual(
        "Cet identifiant n’existe pas dans ce territoire à cette heure : vérifiez-le, ou "
        "repartez de la liste.",
        "This id does not exist in this realm at that time: check it, or start from the list.",
    ),
)
declare_problem(
    "rebuilding",
    503,
    build_bilingual("Affichage en préparation", "Read model being rebuilt"),
    build_bilingual(
        "Les données affichées sont reconstruites à partir des journaux : réessayez dans un "
        "instant. Les signalements restent acceptés.",
        "The read model is being rebuilt from the logs: try again in a moment. Reports are "
        "still accepted.",
    ),
)
declare_problem(
    "store_away",
    503,
    build_bilingual("Affichage indisponible", "Read model unavailable"),
    build_bilingual(
        "Les données ne peuvent pas être lues en ce moment : réessayez dans une minute. Les "
        "signalements restent acceptés. Si cela dure, prévenez l’administrateur.",
        "The read model does not answer: try again in a minute. Reports are still accepted. If "
        "it lasts, tell the administrator.",
    ),
)
declare_problem(
    "picture_frozen",
    503,
    build_bilingual("Données figées", "Read model not updated"),
    build_bilingual(
        "Les données ne sont plus mises à jour : vérifiez par téléphone avant de décider, et "
        "prévenez l’administrateur. Les signalements restent acceptés.",
        "The data are no longer updated: check by telephone before you decide, and tell the "
        "administrator. Reports are still accepted.",
    ),
)
declare_problem(
    "refused",
    409,
    build_bilingual("Décision refusée", "Decision refused"),
    build_bilingual("{what}", "{what}"),
)
declare_problem(
    "command_gone",
    410,
    build_bilingual("Réponse supprimée", "Result deleted"),
    build_bilingual(
        "Le résultat de cette décision n’est plus conservé (14 jours, 15 minutes pour un "
        "pas d’exercice). Relisez l’objet de la décision.",
        "The result of this decision is no longer kept (14 days, 15 minutes for a "
        "step of an exercise). Read the object of the decision again.",
    ),
)
declare_problem(
    "agents_moved",
    409,
    build_bilingual("Agents réaffectés", "Agents reassigned"),
    build_bilingual(
        "Cette version retire des sites de départ, d’accueil ou d’activité de {agents} agents "
        "réaffectés : mettez d’abord fin à leur réaffectation.",
        "This version drops sites from, to or for which {agents} agents are reassigned: "
        "`release` ends their reassignment.",
    ),
)
declare_problem(
    "calendar_unread",
    503,
    build_bilingual("Calendrier pas lu", "Calendar not read"),
    build_bilingual(
        "Le serveur est trop chargé pour lire ce calendrier maintenant : rien n’a changé. "
        "Renvoyez le même fichier dans une minute.",
        "The server is too busy to read this calendar now: nothing has changed. Send the same "
        "file again in a minute.",
    ),
)
declare_problem(
    "calendar_unfinished",
    503,
    build_bilingual("Import pas terminé", "Import not finished"),
    build_bilingual(
        "Le serveur est trop chargé : l’import de ce calendrier n’est pas terminé. Renvoyez le "
        "même fichier : rien ne compte deux fois.",
        "The server is too busy: the import of this calendar is not finished. Send the same "
        "file again: nothing counts twice.",
    ),
)
declare_problem(
    "record_changed",
    409,
    build_bilingual("Fiche modifiée entre-temps", "Record changed meanwhile"),
    build_bilingual(
        "Cette fiche a changé depuis que vous l’avez lue : relisez-la, puis proposez de nouveau.",
        "This record has changed since you read it: read it again, then propose anew.",
    ),
)
declare_problem(
    "record_unchanged",
    409,
    build_bilingual("Aucun changement", "Nothing to change"),
    build_bilingual(
        "La fiche a déjà ces valeurs : il n’y a rien à proposer.",
        "The record has these values already: there is nothing to propose.",
    ),
)
declare_problem(
    "record_referred",
    409,
    build_bilingual("Fiche encore utilisée", "Record still in use"),
    build_bilingual(
        "D’autres données utilisent encore cette fiche : retirez-la d’abord de ces données.",
        "Other data still use this record: remove it from them first.",
    ),
)
declare_problem(
    "link_invalid",
    404,
    build_bilingual("Lien non valable", "Link not valid"),
    build_bilingual(
        "Ce lien est remplacé ou incomplet. Répondez au SMS par 1 ou 2, ou appelez la cellule.",
        "This link was replaced or is incomplete. Answer the text message with 1 or 2, or call "
        "the cell.",
    ),
)
declare_problem(
    "link_expired",
    410,
    build_bilingual("Lien expiré", "Link expired"),
    build_bilingual(
        "Ce lien n’est plus valable : il vaut une heure. Une réponse déjà enregistrée compte "
        "toujours. Si vous n’avez pas répondu, répondez au SMS par 1 ou 2, ou appelez la cellule.",
        "This link has expired: it is valid for an hour. An answer that was recorded still counts. "
        "If you have not answered, answer the text message with 1 or 2, or call the cell.",
    ),
)
declare_problem(
    "if_match_invalid",
    422,
    build_bilingual("If-Match refusé", "If-Match refused"),
    build_bilingual(
        "If-Match : le numéro de version de la ressource, entre guillemets ou non.",
        "If-Match: the version number of the resource, quoted or not.",
    ),
)


class RealmUnknown(ProblemError, LookupError):
    """No such realm has been opened here, or its opening has not been projected yet."""

    def __init__(self, code: str = "realm_unknown") -> None:
        super().__init__(code)


class NotFound(ProblemError, LookupError):
    """The realm holds no such resource at that time."""

    def __init__(self) -> None:
        super().__init__("resource_unknown")


class Rebuilding(ProblemError):
    """The cache was lost; reads fail until it is complete again."""

    def __init__(self) -> None:
        super().__init__("rebuilding", retry_after_s=1)


class StoreUnavailable(ProblemError):
    """Redis does not answer."""

    def __init__(self) -> None:
        super().__init__("store_away", retry_after_s=2)


class ReadModelFrozen(ProblemError):
    """No projector follows the logs: a live stream would not be live."""

    def __init__(self) -> None:
        super().__init__("picture_frozen", retry_after_s=1)
