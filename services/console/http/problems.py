"""Declare the problems of the console in the catalogue of `services.runtime.http.problems`."""

from __future__ import annotations

from services.runtime.http.problems import ProblemError, both, declare

declare(
    "realm_unknown",
    404,
    both("Territoire inconnu", "Unknown realm"),
    both(
        "Aucun territoire ni exercice de ce nom n’est ouvert ici.",
        "No realm of this name has been opened here.",
    ),
)
declare(
    "resource_unknown",
    404,
    both("Introuvable", "Not found"),
    both(
        "Ce territoire n’a rien sous cet identifiant, à cette heure.",
        "This realm holds nothing under this id, at that time.",
    ),
)
declare(
    "rebuilding",
    503,
    both("Relecture des journaux", "Reading the logs again"),
    both(
        "La mémoire de lecture a été perdue et se reconstruit depuis les journaux : réessayez "
        "dans un instant.",
        "The read model was lost and is being rebuilt from the logs: try again in a moment.",
    ),
)
declare(
    "store_away",
    503,
    both("Mémoire de lecture indisponible", "Read model unavailable"),
    both(
        "La mémoire de lecture ne répond pas. Les signalements restent acceptés.",
        "The read model does not answer. Reports are still accepted.",
    ),
)
declare(
    "picture_frozen",
    503,
    both("Données figées", "Frozen picture"),
    both(
        "Plus rien n’est reporté des journaux dans la mémoire de lecture : ce qui est affiché "
        "peut être dépassé. Les signalements restent acceptés.",
        "Nothing is carried from the logs into the read model any more: what is shown may be out "
        "of date. Reports are still accepted.",
    ),
)
declare(
    "refused",
    409,
    both("Décision refusée", "Decision refused"),
    both("{what}", "{what}"),
)
declare(
    "command_gone",
    410,
    both("Réponse plus gardée", "Answer no longer kept"),
    both(
        "Rien n’est plus gardé de cette décision : sa réponse l’est 14 jours (15 minutes pour un "
        "pas d’exercice). Relisez ce qu’elle devait changer.",
        "Nothing is kept of this decision any more: its answer is for 14 days (15 minutes for a "
        "step of an exercise). Read again what it was to change.",
    ),
)
declare(
    "agents_moved",
    409,
    both("Agents réaffectés", "Agents reassigned"),
    both(
        "Cette version n’a plus des sites de, vers ou pour lesquels {agents} agents sont "
        "réaffectés : « release » les rend à leur poste.",
        "This version has no longer sites from, to or for which {agents} agents are reassigned: "
        "`release` gives them back.",
    ),
)
declare(
    "link_invalid",
    404,
    both("Lien non valable", "Link not valid"),
    both(
        "Ce lien est périmé, déjà remplacé ou incomplet. Répondez au SMS par 1 ou 2, ou appelez "
        "la cellule.",
        "This link has expired, was replaced or is incomplete. Answer the text message with 1 or "
        "2, or call the cell.",
    ),
)
declare(
    "if_match_invalid",
    422,
    both("If-Match refusé", "If-Match refused"),
    both(
        "If-Match : le numéro de version de la ressource, entre guillemets ou non.",
        "If-Match: the version number of the resource, quoted or not.",
    ),
)


class RealmUnknown(ProblemError, LookupError):
    """No such realm has been opened here, or its opening has not been projected yet."""

    def __init__(self) -> None:
        super().__init__("realm_unknown")


class NotFound(ProblemError, LookupError):
    """This realm holds no such resource at that time."""

    def __init__(self) -> None:
        super().__init__("resource_unknown")


class Rebuilding(ProblemError):
    """The cache was lost; reads fail until it is complete again."""

    def __init__(self) -> None:
        super().__init__("rebuilding", retry_after_s=1)


class StoreAway(ProblemError):
    """Redis does not answer."""

    def __init__(self) -> None:
        super().__init__("store_away", retry_after_s=2)


class PictureFrozen(ProblemError):
    """No projector follows the logs: a live stream would not be live."""

    def __init__(self) -> None:
        super().__init__("picture_frozen", retry_after_s=1)
