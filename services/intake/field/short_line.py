"""Read a short line such as `117 ELEC`, `117 EAU PARTIEL`, `117 MALADES 12`, `RAS 117`, `STOP 117`.

A text without a keyword at its beginning is read for words of danger: «il y a le feu au collège»,
also behind the answer to a call: «oui, et il y a le feu».
Case, accents, punctuation, the space between site and keyword, and their order do not matter. The
rest is free text, unless it says that the trouble is over (`117 ELEC RETABLIE`). Pure.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import dropwhile, groupby, takewhile
from typing import Any, Final

from schemas.catalogue.event_types import (
    EVENT_TYPES,
    PERSON_IN_DANGER,
    EventType,
    EventTypeRow,
    endangers_people,
)
from schemas.people.replies import (
    parse_area_reply,
    parse_card_reply,
    parse_headcount_reply,
    parse_reply,
)
from services.runtime.http.problems import ProblemError, build_field_problem

MAX_LINE: Final = 1_600
"""Characters of a text that are read: ten parts of a long SMS. The report keeps all of them."""


class ShortLineKind(StrEnum):
    TROUBLE = "trouble"
    CALM = "calm"
    """The site has nothing to report, and is not silent any more (rule D19)."""
    END = "end"
    """Ends the named cause. Without a name, the decider finds it (rule D16, reopening)."""
    ANSWER = "answer"
    """Answer to a call, for delivery. No report."""


@dataclass(frozen=True, slots=True)
class ShortLine:
    kind: ShortLineKind
    site: str | None = None
    """Short code or site id as written."""
    type: EventType | None = None
    severity: int = 1
    lost: int | None = None
    persons: int | None = None
    is_free_text: bool = False
    """True for a danger that was found in a text without a keyword."""

    @property
    def is_danger(self) -> bool:
        """Return whether the line reports danger to people. Rule D2."""
        return (
            self.kind is ShortLineKind.TROUBLE
            and self.type is not None
            and endangers_people(self.type, self.severity)
        )


_BY_WORD: Final[Mapping[str, EventTypeRow]] = {
    word: row for row in EVENT_TYPES.values() for word in row.sms_words.split()
}
_CALM_WORDS: Final = frozenset({"RAS"})
_END_WORDS: Final = frozenset({"STOP", "FIN", "REPRISE", "RETABLI", "RETABLIE"})
_RESTORED_WORDS: Final = frozenset(
    {"RETABLI", "RETABLIE", "RETABLIS", "RETABLIES", "REVENU", "REVENUE"}
)
"""Words right after a supply that mean it is back: `EAU RETABLIE`, not `EAU PAS RETABLIE`."""
_FINAL_RESTORED_WORDS: Final = frozenset({"OK", "RAS"})
"""Words that mean it is back if nothing follows: `ELEC OK`, not `ELEC OK GROUPE VIDE`."""
_STATES: Final[Mapping[str, tuple[int, int]]] = {
    "PARTIEL": (3, 50),
    "PARTIELLE": (3, 50),
    "PARTIELLEMENT": (3, 50),
    "FERME": (4, 100),
    "FERMEE": (4, 100),
    "TOTAL": (4, 100),
    "TOTALE": (4, 100),
}
"""Severity and share of capacity lost, as for the buttons of the report form."""
_DANGER: Final = frozenset({"DANGER", "BLESSE", "BLESSES", "URGENT"})
EMERGENCY_NUMBERS: Final = frozenset({"15", "17", "18", "112", "114"})
"""Telephone numbers that people name in a text about danger. There they are no codes of sites."""
_FREE_TYPES: Final[Mapping[str, EventTypeRow]] = {
    word: row for row in EVENT_TYPES.values() for word in row.free_words.split()
}
_HURT: Final = _DANGER | {"BLESSEE", "BLESSEES", "INCONSCIENT", "INCONSCIENTE", "SOS"}
_FATAL: Final = _HURT | {
    *("MALAISE", "MALAISES", "CARDIAQUE", "INFARCTUS", "AVC", "DECES", "DECEDE", "DECEDEE"),
    *("NOYADE", "NOIE", "NOYE", "NOYEE", "EVANOUI", "EVANOUIE", "ETOUFFE", "OVERDOSE", "SUICIDE"),
    *("ELECTROCUTE", "ELECTROCUTEE", "ELECTROCUTION", "HEMORRAGIE"),
    *("EFFONDREMENT", "EFFONDRE", "EFFONDREE", "ECROULE", "ECROULEE", "ECROULEMENT"),
}
"""Words of a free text that tell of a life in danger."""
_PHRASES: Final = (
    (re.compile(r"\bCOUPS? DE FEU\b"), "TIRS"),
    (re.compile(r"\bARMES? A FEU\b"), "ARME"),
    (re.compile(r"\b(?:SECOURS (?:POPULAIRE|CATHOLIQUE)|ARMEE DU SALUT|HELP ?DESK)\b"), ""),
    (
        re.compile(
            r"\b(?:AU|O|OH) SECOURS?\b|\bAUSECOURS?\b|^\W*SECOURS?\W*(?:SVP|VITE|AIDEZ|$)"
            r"|\bA L AIDE\b|\bAIDEZ[- ](?:NOUS|MOI)\b|^ *HELP\b|\bHELP (?:ME|US)\b"
        ),
        "SOS",
    ),
    (
        re.compile(
            r"\b(?:APP?ELE[ZR]?|ENVOYE[ZR]|URGENT|VITE|BESOIN)"
            r"(?: (?:VITE|URGENT|LES?|LA|L|UNE?|DES?|D|DU))*"
            r" (?:POMPIERS?|SAMU|AMBULANCE|SECOURS|POLICE)\b"
        ),
        "SOS",
    ),
    (re.compile(r"\bRESPIRE (?:PLUS|PAS)\b|\bPLUS DE POULS\b"), "INCONSCIENT"),
    (
        re.compile(
            r"^ *MORTE?S?\b *$|\b(?:UNE?|DES|DEUX|TROIS|[1-9]\d*) MORTE?S?\b"
            r"|\b(?:ILS?|ELLES?|ELEVE|ENFANT|AGENT|HOMME|FEMME|PERSONNE|COLLEGUE|BEBE) "
            r"(?:EST|SONT) MORTE?S?\b"
        ),
        "DECES",
    ),
    (
        re.compile(r"\b(?:NOUS|ON|IL|CA|SA) TIRE(?: SUR| DESSUS)?\b(?! (?:LA|LE|LES|UNE?|AU)\b)"),
        "TIRS",
    ),
    (re.compile(r"\bCOLIS (?:SUSPECT|PIEGE|ABANDONNE)\b"), "BOMBE"),
    (re.compile(r"\b(?:UN|DES) INTRU\b"), "INTRUS"),
    (re.compile(r"\b(?:LE|DU) FEUX\b"), "FEU"),
    (
        re.compile(r"\b(?:HORS DE|PAS EN|PLUS EN) DANGER\b|\bDANGER (?:EST )?(?:ECARTE|PASSE)\b"),
        "",
    ),
    (
        re.compile(
            r"\bFEU (?:VERT|ROUGE|ORANGE|TRICOLORE|DE (?:CIRCULATION|SIGNALISATION)|D ARTIFICE)\b"
            r"|\b(?:COUPE|PARE|COUVRE)[- ]FEU\b"
        ),
        "",
    ),
    (
        re.compile(
            r"\b(?:PAS|NON|PLUS) (?:(?:UNE?|LE|LA|L|D|DE|DANS|CET|CETTE) )*"
            r"(?:EXERCICE|SIMULATION|FAUSSE ALERTE)\b"
        ),
        "",
    ),
    (
        re.compile(
            r"\b(?:PENDANT|DURANT|LORS|COURS|PLEIN)(?: (?:UN|L|D|DE|LE|CET|NOTRE))* EXERCICE\b"
            r"(?: (?:D )?(?:INCENDIE|FEU|EVACUATION|CONFINEMENT|ATTENTAT)\b)?"
        ),
        "",
    ),
)
"""Phrases with another meaning than that of their words."""
_OUT_OF_EXERCISE: Final = re.compile(
    r"\bhors[\s-]*(?:exercice|exo)\b[\s:,.;!-]*"
    r"|\b(?:stop|fin)(?: d(?:e|u))?(?: [dl]['’ ]?)?[\s-]*(?:exercice|exo)\b"
    r"(?![\s:,.;!-]*(?:d['’ ]|d(?:e|u|es)\b))[\s:,.;!-]*",
    re.IGNORECASE,
)
"""The words that Vigie asks for before a real emergency during an exercise.

They end the exercise, and nothing else. «Fin de l’exercice d’évacuation» names the exercise.
"""
_REAL: Final = re.compile(
    r"(?<!\bCOMME EN )(?<!\bSITUATION )(?<!\bPAS )\b(?:REELS?|REELLES?|VRAIE?S?|VRAIMENT)\b"
)
"""Words that take back that a danger is an exercise: «exercice, un blessé réel»."""
_EMOJIS: Final = (("\N{FIRE}", " FEU "), ("\N{SQUARED SOS}", " SOS "), ("\N{BOMB}", " BOMBE "))
"""Pictures that stand for a word of danger."""
_SPELLED: Final = re.compile(r"\b(?:[A-Z][ .]){2,}[A-Z]\b")
"""A word in single letters: «S.O.S», «F E U»."""
_MIN_FUZZY: Final = 6
"""Fewest letters of a word that is read with one mistake."""
_LOOK_ALIKE_WORDS: Final = (
    "EVALUE EVALUEE EVALUES EVALUER EVALUEZ EVALUONS EVALUENT EVALUATION CONFIE CONFIEE CONFIES "
    "CONFIEES CONFIEZ CONFIONS CONFINS ADRESSE ADRESSEE ADRESSES DECIDE DECIDEE DECADE DECELE "
    "DECELEE NOMADE TONIQUE TONIQUES FUSEES FUMETS FUTEES FLEMME EXPOSE EXPOSEE EXPLORE DANSER "
    "BRESSE BRULANT ECOULE ECOULEE ECOULEMENT ECROUE MANCHETTE ORAGES"
)
"""Everyday words that differ from a danger by one letter."""
_LOOK_ALIKES: Final = frozenset(_LOOK_ALIKE_WORDS.split())
_EXERCISE: Final = re.compile(r"\bEXERCICE\b")
_SHORT_ANSWER_WORDS: Final = 3
_ORDERS: Final = frozenset({EventType.EVACUATION, EventType.SHELTER_IN_PLACE})
_CLAUSE_END: Final = re.compile(r"[.,;:!?\n]|\bMAIS\b|\bET\b")
_FILLERS: Final = (
    r"(?:(?:DE|D|DU|DES|LA|LE|L|LES|UN|UNE|A|AU|ALERTE|ALARME|DEPART|ODEUR|FUITE|SIGNE|TRACE|RISQUE|"
    r"EVACUATION|VU|EU)\b *)"
)
"""Words that may stand between a denial and the danger."""
_NEGATED: Final = re.compile(
    rf"\b(?:PAS {_FILLERS}+|(?:AUCUNE?|SANS|NI|NO|ZERO|FIN|FAUSSE|EXERCICE|SIMULATION|ESSAI|TEST) "
    rf"{_FILLERS}*|N Y A PLUS {_FILLERS}+|PERSONNE N (?:EST|A ETE|ETAIT) )$"
)
"""End of the words before a danger that says that there is none.

«pas de», «fin de l’», «personne n’est»
"""
_DEFINITE: Final = r"(?:(?:L|LE|LA|LES|CET|CETTE) )*$"
_ABOUT_CALL: Final = re.compile(
    rf"\b(?:OK|OUI|ARRIVE|ARRIVONS|VIENS|VENONS|VAIS|ROUTE) (?:POUR|SUR|VERS) {_DEFINITE}"
    rf"|\b(?:RECU|COMPRIS) (?:POUR )?{_DEFINITE}"
)
"""End of the words before the danger that an answer repeats: «j'arrive pour l'».

«Venez pour un blessé» is no repetition.
"""
_ENDED_DANGER: Final = re.compile(
    rf"^\W*(?:[A-Z0-9-]*\d[A-Z0-9-]* +)?(?:STOP|FIN|RETABLIE?)\b[ :,-]*(?:\d{{2,6}} +)?"
    rf"{_FILLERS}*(?:{'|'.join(_BY_WORD)})\b"
)
"""The end of a danger at the beginning of a line, with the danger: «STOP 117 FEU»."""
_EXERCISES: Final = frozenset({"EXERCICE", "EXERCICES", "EXO"})
_OVER: Final = re.compile(
    r"^(?: *(?!(?:PAS|PLUS|NON|PRESQUE|QUASI|QUASIMENT|TOUJOURS|BIENTOT|JAMAIS|MAL|SERA)\b)"
    r"[A-Z0-9]++){0,3} *\b(?:ETEINTE?S?|MAITRISEE?S?|TERMINEE?S?|FINIE?S?|EXERCICE)\b"
)
"""Words right after a danger that say that it is over or none: «est éteint», «(exercice)».

No word is read in pieces (`++`): a long one would stop the front for minutes.
"""
_COUNTS_PERSONS: Final = frozenset({EventType.SANITARY_ALERT, EventType.EVACUATION})
_TOKEN: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9-]*[A-Z0-9])?")
_SITE: Final = re.compile(r"\d{2,6}|[A-Z]{2,8}-(?=[A-Z-]*\d)[A-Z0-9-]{1,20}")
"""A code or an id of a site: «117», «CLG-0920077J», not «PEUT-ETRE»."""
_NAMED_CODE: Final = re.compile(
    r"\b(?:SITE|CODE|NUMERO) (?:N |NUMERO )?(\d{2,6})\b|\b(?:COLLEGE|CLG) (\d{3,6})\b"
)
_JOINED_WORDS: Final = re.compile(r"(\d{2,6})-?([A-Z]+)|([A-Z]+)(\d{2,6})")
"""A code and a keyword without a space: `117ELEC`, `117-ELEC`, `ELEC117`."""
_CODE_EDGE: Final = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)")
_FAULTS: Final = frozenset({"PB", "PBS", "PROBLEME", "PROBLEMES", "PANNE", "COUPURE", "MANQUE"})
_ABSENCES: Final = frozenset({"PLUS", "PAS", "SANS"})
_ARTICLES: Final = frozenset(
    {"DE", "D", "DU", "DES", "L", "LE", "LA", "UN", "UNE", "GROS", "GROSSE"}
)
_LEADING_WORDS: Final = _FAULTS | _ABSENCES | _ARTICLES
"""Words that may stand before a supply: «panne elec», «plus d’eau»."""
_SOLVED_WORDS: Final = _RESTORED_WORDS | {
    *("REPARE", "REPAREE", "FINI", "FINIE", "TERMINE", "TERMINEE", "RESOLU", "RESOLUE", "OK"),
}
_IF_WORDS: Final = frozenset(
    {"VOUS", "TU", "ON", "JE", "IL", "ELLE", "CA", "C", "POSSIBLE", "BESOIN", "JAMAIS", "QUELQU"}
)
"""Words after «si» that make it the conjunction."""
_WORDS: Final = frozenset({*_BY_WORD, *_CALM_WORDS, *_END_WORDS})


_KEYBOARD_LETTERS: Final = str.maketrans({"’": "'", "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE"})


def fold_text(text: str) -> str:
    """Return a text in capitals without accents and ligatures."""
    plain = unicodedata.normalize("NFKD", text[:MAX_LINE].translate(_KEYBOARD_LETTERS))
    return plain.encode("ascii", "ignore").decode().upper()


def split_words(text: str) -> list[str]:
    """Split into capital words without accents; `R.A.S.` is one word."""
    tokens = _TOKEN.findall(re.sub(r"\b([A-Z])\.(?=[A-Z]\b)", r"\1", fold_text(text)))
    return [part for token in tokens for part in _split_joined(token)]


def _split_joined(token: str) -> list[str]:
    """Separate a code from a keyword written without a space."""
    if (match := _JOINED_WORDS.fullmatch(token)) is None:
        return [token]
    parts = [part for part in match.groups() if part is not None]
    return parts if _WORDS.intersection(parts) else [token]


def read_line(text: str) -> ShortLine:
    """Read a line. Raises ProblemError `invalid` that names the fault but not the text."""
    for picture, word in _EMOJIS:
        text = text.replace(picture, word)
    if not split_words(text):
        raise build_field_problem("text", "missing", "ligne vide", "empty line")
    text = _OUT_OF_EXERCISE.sub(" ", text).strip()
    words = split_words(text)
    if not words:  # the end of an exercise ends no trouble
        raise _build_word_problem()
    site = _find_site(words)
    hurt = len(words) > 1 and words[1] in _HURT  # «2 blessés» is no answer
    if site is None and not hurt and _is_answer(text, words[0]):
        return _find_danger_in_answer(text, words) or ShortLine(ShortLineKind.ANSWER)
    verb = next((w for w in words[:3] if w != site), None)
    if verb in _CALM_WORDS or verb in _END_WORDS:
        return _read_end(text, words, verb, site)
    danger = _find_danger(text, words)
    trouble = None if _is_conjunction(words, verb) else _BY_WORD.get(verb or "")
    if trouble is None:
        line = danger or _read_missing_supply(words)
        if line is None:
            raise _build_word_problem()
        return line
    if _is_denied_danger(trouble, verb, text, words):
        raise _build_word_problem()
    rest = [w for w in words if w not in (site, verb)]
    line = (
        ShortLine(ShortLineKind.END, site, trouble.type)
        if _is_restoration(trouble, rest)
        else _build_trouble(site, trouble, rest)
    )
    if line.site is None:
        line = replace(line, site=_find_named_code(words))
    if danger is None:
        return line
    if not line.is_danger:  # «117 ELEC, feu au tableau»
        return _place_danger(danger, site)
    return replace(line, severity=max(line.severity, danger.severity))


def _is_leading(word: str) -> bool:
    """Return whether a word may stand before a supply: «panne», «plus de», the code of a site."""
    return word in _LEADING_WORDS or _SITE.fullmatch(word) is not None


def _build_word_problem() -> ProblemError:
    return build_field_problem(
        "text",
        "word",
        "un mot connu est attendu après le site : ELEC, EAU, CHAUF, SI, TEL, FEU, EVAC, GAZ, "
        "MALADES, FERME, RAS, STOP",
        "a known word is expected after the site: ELEC, EAU, CHAUF, SI, TEL, FEU, EVAC, GAZ, "
        "MALADES, FERME, RAS, STOP",
    )


def _find_danger_in_answer(text: str, words: Sequence[str]) -> ShortLine | None:
    """Return the danger that an answer tells of: «oui il y a le feu», perhaps nobody called.

    «FAIT 2 évacuation» is about a card; what follows in another clause is not.
    """
    if parse_card_reply(text) is None:
        return _find_danger(text, words, is_answer=True)
    _, *others = _CLAUSE_END.split(fold_text(text))
    return _find_danger(". ".join(others), words, is_answer=True) if others else None


def _read_end(text: str, words: Sequence[str], verb: str | None, site: str | None) -> ShortLine:
    """Read a line that says that all is well, or that a trouble is over.

    Danger beside the one that is over goes first: «RAS sauf un blessé», «STOP il y a le feu».
    «Reprise du feu» is no end.
    """
    others = (
        text if verb == "REPRISE" else _ENDED_DANGER.sub(" ", fold_text(text).replace("'", " "))
    )
    if (danger := _find_danger(others, words)) is not None:
        return _place_danger(danger, site)
    if verb in _CALM_WORDS:
        return ShortLine(ShortLineKind.CALM, site)
    if not _EXERCISES.isdisjoint(words):
        raise _build_word_problem()
    trouble = next((_BY_WORD[w] for w in words if w in _BY_WORD), None)
    return ShortLine(ShortLineKind.END, site, None if trouble is None else trouble.type)


def _place_danger(danger: ShortLine, site: str | None) -> ShortLine:
    """Return a danger with the code that its line begins with."""
    code = None if site in EMERGENCY_NUMBERS else site
    return replace(danger, site=danger.site or code)


def _is_conjunction(words: Sequence[str], verb: str | None) -> bool:
    """Return whether «si» is no information system: «si vous pouvez, rappelez»."""
    return verb == "SI" and not _IF_WORDS.isdisjoint(words[1:3])


def _read_missing_supply(words: Sequence[str]) -> ShortLine | None:
    """Read «117 panne elec», «plus d’eau»; None if it is anything else, or solved by now."""
    site = next((w for w in takewhile(_is_leading, words) if _SITE.fullmatch(w)), None)
    leading_words = frozenset(takewhile(_is_leading, words))
    verb, *rest = [*dropwhile(_is_leading, words), ""]
    trouble = _BY_WORD.get(verb)
    is_denied = not leading_words.isdisjoint(_FAULTS) and not leading_words.isdisjoint(_ABSENCES)
    is_fault = leading_words & (_FAULTS if verb == "SI" else _FAULTS | _ABSENCES)
    if trouble is None or not trouble.supply or not is_fault or is_denied:
        return None
    if not _SOLVED_WORDS.isdisjoint(rest):
        return None
    if site is None and rest and _SITE.fullmatch(rest[0]):
        site = rest.pop(0)
    return _build_trouble(site, trouble, rest)


def _is_denied_danger(
    trouble: EventTypeRow, verb: str | None, text: str, words: Sequence[str]
) -> bool:
    """Return whether a line begins with the word of a danger, and the others deny it.

    «Feu éteint», «feu rouge en panne». An evacuation that is over has left a building empty.
    """
    return (
        verb in _FREE_TYPES
        and trouble.type not in _ORDERS
        and _HURT.isdisjoint(words)
        and _find_danger(_CODE_EDGE.sub(" ", text), words) is None
    )


def _find_danger(text: str, words: Sequence[str], *, is_answer: bool = False) -> ShortLine | None:
    """Return the danger to people that a free text tells of; None if it tells of none.

    In doubt it does: a person reads the text. «j'arrive pour l'incendie» in an answer is about the
    trouble of the call.
    """
    plain = re.sub(r"['()]", " ", _SPELLED.sub(_join_letters, fold_text(text)))
    for phrase, meaning in _PHRASES:
        plain = phrase.sub(meaning, plain)
    if _REAL.search(plain):
        plain = _EXERCISE.sub("", plain)
    dangers = [
        word
        for clause in _CLAUSE_END.split(plain)
        for match in re.finditer(r"[A-Z0-9]+", clause)
        if (word := _correct_word(match[0])) in _FREE_TYPES
        and not _is_denied(clause[: match.start()], clause[match.end() :])
        and not (is_answer and _ABOUT_CALL.search(clause[: match.start()]))
    ]
    if not dangers:
        return None
    types = [_FREE_TYPES[word] for word in dangers]
    trouble = next(row for row in EVENT_TYPES.values() if row in types)
    severity = PERSON_IN_DANGER if _FATAL.intersection(dangers) else trouble.sms_severity
    return ShortLine(
        ShortLineKind.TROUBLE,
        _find_code(words),
        trouble.type,
        severity,
        is_free_text=True,
    )


def _find_code(words: Sequence[str]) -> str | None:
    """Return the code that a free text begins with, or names as that of a site."""
    if _SITE.fullmatch(words[0]) is not None and words[0] not in EMERGENCY_NUMBERS:
        return words[0]
    return _find_named_code(words)


def _find_named_code(words: Sequence[str]) -> str | None:
    """Return the number that a text names as the code of a site: «au site 117»."""
    named_code = _NAMED_CODE.search(" ".join(words))
    return None if named_code is None else named_code[1] or named_code[2]


def _join_letters(match: re.Match[str]) -> str:
    """Join «F E U» and «S.O.S» if that makes a word of danger."""
    word = re.sub(r"[ .]", "", match[0])
    return word if word in _FREE_TYPES else match[0]


@lru_cache(maxsize=4_096)
def _correct_word(word: str) -> str:
    """Return the word of danger that is meant: «FEUUU», «INCENDIT», «AGGRESSION».

    Letters may be repeated; a long word may have one mistake after its first letter.
    """
    if word in _FREE_TYPES or word in _LOOK_ALIKES:
        return word
    repeated = _SQUEEZED_WORDS.get(_squeeze_letters(word))
    if repeated is not None and len(word) > len(repeated):
        return repeated
    if len(word) < _MIN_FUZZY:
        return word
    return next((one for one in _LONG_WORDS if is_near_word(word, one)), word)


def _squeeze_letters(word: str) -> str:
    return "".join(letter for letter, _ in groupby(word))


def is_near_word(word: str, other: str) -> bool:
    """Return whether two words with the same first letter differ by one letter at most.

    One letter may be another one, missing, added, or changed with its neighbour.
    """
    if word[:1] != other[:1] or abs(len(word) - len(other)) > 1:
        return False
    start = next(
        (n for n, (a, b) in enumerate(zip(word, other, strict=False)) if a != b),
        min(len(word), len(other)),
    )
    a, b = word[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] + a[2:] == b)


_SQUEEZED_WORDS: Final = {
    _squeeze_letters(word): word for word in sorted(_FREE_TYPES, key=len, reverse=True)
}
_LONG_WORDS: Final = sorted(word for word in _FREE_TYPES if len(word) >= _MIN_FUZZY)


def _is_denied(before: str, after: str) -> bool:
    """Check whether the words around a danger say that there is none, or that it is over."""
    return _NEGATED.search(before) is not None or _OVER.search(after) is not None


def _is_answer(text: str, first: str) -> bool:
    """Check whether a line answers a call, a headcount or a list of action cards.

    A longer text is read again where it is known what was asked, and kept for a person here.
    """
    is_short = len(text.split()) <= _SHORT_ANSWER_WORDS
    readings = (
        parse_reply(first),
        parse_reply(text),
        parse_area_reply(text) if is_short else None,
        parse_headcount_reply(first),
        parse_card_reply(text),
    )
    return any(reading is not None for reading in readings)


def has_no_site(text: str) -> bool:
    """Return whether the text names no site and is thus no attempt at a report."""
    return _find_site(split_words(text)) is None


def _find_site(words: Sequence[str]) -> str | None:
    return next((w for w in words[:3] if _SITE.fullmatch(w)), None)


def _is_restoration(trouble: EventTypeRow, rest: Sequence[str]) -> bool:
    if not trouble.supply or not rest:
        return False
    return rest[0] in _RESTORED_WORDS or (rest[0] in _FINAL_RESTORED_WORDS and len(rest) == 1)


def _build_trouble(site: str | None, trouble: EventTypeRow, rest: Iterable[str]) -> ShortLine:
    severity, lost_pct, persons = trouble.sms_severity, None, None
    for word in list(rest)[:5]:
        if word in _DANGER:
            severity = PERSON_IN_DANGER
        elif word in _STATES:
            graver, lost_pct = _STATES[word]
            severity = max(severity, graver)
        elif word.isdecimal() and persons is None and trouble.type in _COUNTS_PERSONS:
            persons = int(word[:6])
    return ShortLine(ShortLineKind.TROUBLE, site, trouble.type, severity, lost_pct, persons)


def build_report(line: ShortLine, site: str | None, text: str, at: str) -> dict[str, Any]:
    """Build the native report of a line.

    `site` is the id of the line's code, or the code itself if unknown (rule D8, unknown places).
    """
    body: dict[str, Any] = ({} if site is None else {"site_id": site}) | {
        "occurred_at": at,
        "severity": line.severity,
        "description": text,
    }
    match line.kind:
        case ShortLineKind.CALM:
            return body | {"type": EventType.INFO}
        case ShortLineKind.END:
            return body | {
                "type": EventType.REOPENING,
                "lifts": [] if line.type is None else [line.type],
            }
        case _:
            body |= {"type": line.type}
    if line.lost is not None:
        body["capacity_lost_pct"] = line.lost
    if line.persons is not None:
        body["persons_concerned"] = line.persons
    if line.severity == PERSON_IN_DANGER:
        body["urgency"] = "Immediate"
    return body
