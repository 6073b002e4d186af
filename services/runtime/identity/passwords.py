"""Refuse weak passwords: short ones, those with the login, those that programs guess first.

All checks run on this machine: the lists come with the library.
"""

from typing import Final

from services.runtime.http.problems import FieldFault, build_fault

MIN_CHARS: Final = 12
MIN_DISTINCT: Final = 5
MIN_LOGIN_CHARS: Final = 3
"""Shorter logins are part of many words."""
MIN_SCORE: Final = 2
"""Least score of 0 to 4; below it a program needs less than 10^6 guesses."""
FRENCH_WORDS: Final = (
    "motdepasse",
    "azerty",
    "azertyuiop",
    "qsdfghjklm",
    "bonjour",
    "soleil",
    "doudou",
    "loulou",
    "chouchou",
    "marseille",
    "toulouse",
    "nanterre",
    "hautsdeseine",
    "departement",
    "prefecture",
    "bienvenue",
    "administrateur",
    "vigie",
    "crise",
    "cellule",
    "astreinte",
)
"""Words that are guessed first here and are missing in the library's English lists."""
MAX_ESTIMATED_CHARS: Final = 72
"""Length up to which the strength is estimated: its time grows with the square."""


class PasswordRefused(ValueError):
    """A password that is easy to guess; `fault` gives the reason, without repeating it."""

    def __init__(self, fault: FieldFault) -> None:
        super().__init__(fault.message["en"])
        self.fault = fault


def check_password(password: str, login: str) -> None:
    """Refuse a password that is easy to guess. Takes up to 0.1 s. Raises PasswordRefused."""
    if len(password) < MIN_CHARS:
        raise _build_refusal(
            "too_short", f"{MIN_CHARS} caractères au moins", f"at least {MIN_CHARS} characters"
        )
    if len(set(password)) < MIN_DISTINCT:
        raise _build_refusal(
            "repeated",
            f"{MIN_DISTINCT} caractères différents au moins",
            f"at least {MIN_DISTINCT} different characters",
        )
    if len(login) >= MIN_LOGIN_CHARS and login.casefold() in password.casefold():
        raise _build_refusal(
            "holds_login", "ne doit pas contenir l’identifiant", "must not contain the user name"
        )
    from zxcvbn import zxcvbn  # Takes half a second for lists that no other process needs

    if (
        int(zxcvbn(password[:MAX_ESTIMATED_CHARS], user_inputs=[login, *FRENCH_WORDS])["score"])
        < MIN_SCORE
    ):
        raise _build_refusal(
            "common",
            "trop courant ou trop simple : facile à deviner",
            "too common or too simple: easily guessed",
        )


def _build_refusal(code: str, fr: str, en: str) -> PasswordRefused:
    return PasswordRefused(build_fault("password", code, fr, en))
