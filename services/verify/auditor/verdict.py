"""Turn breaches into a verdict.

A breach counts when two judgements in a row see it, because topics are not read at one moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from services.verify.auditor.open_items import Breach

VerdictState = Literal["reading", "green", "red"]
LAWS: dict[str, str] = {
    "order": "each input is applied once, in order, none skipped",
    "applied": "every accepted input is applied",
    "forward": (
        "every routed fact reaches its destination once, in order, and none comes from nowhere"
    ),
    "notification": "every planned notification is known to delivery and comes to rest",
    "claim": "every granted attempt gets an outcome",
    "wave": "every due wave of a running ladder is called",
    "reassignment": (
        "every order was approved by a named person under a rule, and every approved line is "
        "ordered once"
    ),
    "due": "every deadline fires",
    "reader": "readers of a log have read the same records",
    "logs": "the logs can be read",
}
"""Law → promise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    state: VerdictState = "reading"
    breaches: tuple[Breach, ...] = ()
    at: int = 0
    """Time of the judgement, ms."""
    since: int = 0
    """Time since which the state has held, ms."""

    @property
    def sentence(self) -> str | None:
        """Summary of the breaches for a status line; None when all promises are kept."""
        if self.state == "green":
            return None
        if self.state == "reading":
            return "the logs are being read"
        first = self.breaches[0]
        more = f" (and {len(self.breaches) - 1} more)" if len(self.breaches) > 1 else ""
        return f"{first.law}: {first.what}{more}"


@dataclass
class Judge:
    """Keeps the last verdict and derives the next."""

    verdict: Verdict = field(default_factory=Verdict)
    _suspects: frozenset[tuple[str, str]] = frozenset()

    def judge(self, current_breaches: Iterable[Breach], now: int, *, caught_up: bool) -> Verdict:
        """Return the verdict on the current breaches.

        Numbers in sentences change, so a breach is identified by its law and its first words.
        """
        breaches = list(current_breaches)
        keys = {_breach_key(b): b for b in breaches}
        confirmed_breaches = tuple(b for key, b in keys.items() if key in self._suspects)
        self._suspects = frozenset(keys)
        state: VerdictState = (
            "red"
            if confirmed_breaches
            else "green"
            if caught_up and not breaches
            else self._keep_state(caught_up)
        )
        since = self.verdict.since if state == self.verdict.state else now
        self.verdict = Verdict(state, confirmed_breaches, now, since)
        return self.verdict

    def _keep_state(self, caught_up: bool) -> VerdictState:
        """Return the state for breaches that are suspected but not confirmed.

        A green verdict stands for one more judgement.
        """
        return self.verdict.state if caught_up and self.verdict.state == "green" else "reading"


def _breach_key(breach: Breach) -> tuple[str, str]:
    return breach.law, breach.what.split(":")[0].split(" is ")[0]
