"""Decide the posts about a vigilance that changes its colour. Pure.

A second fetch, at least a minute later, must repeat a red. A jump of two colours at once goes out
unconfirmed first; it is confirmed when a second source agrees or ten minutes have passed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from services.watch.connector import POLL_DELAY, read_stored_time
from services.watch.parsing import COLOURS, format_instant

JUMP_DELAY: Final = timedelta(minutes=10)
HOLD_SEVERITY: Final = 2
SEVERITY: Final = {"jaune": 1, "orange": 3, "rouge": 4}


class Step(StrEnum):
    NONE = "none"
    ALERT = "alert"
    UPDATE = "update"
    CANCEL = "cancel"
    HOLD = "hold"
    WITHDRAW = "withdraw"
    """Take a held report back: the red did not stay."""


@dataclass(frozen=True, slots=True)
class ColourDecision:
    step: Step
    references: tuple[str, ...] = ()
    is_alert: bool = False
    """True if it stands as an alert, not as an information."""
    wait: bool = False
    """True if the same must be seen again soon."""
    confirms: bool = False
    """True if a held report of the same edition may have taken the alias."""


def decide_colour(
    state: dict[str, Any], colour: str, edition: str, now: datetime, *, is_agreed: bool
) -> ColourDecision:
    """Decide the step from the colour that was said to the one that is read.

    `state` is the memory of the matter; the pending red in it is kept up to date here. The caller
    posts, and notes the result with `note_said`.
    """
    last_colour: str | None = state.get("colour")
    if colour == "rouge" and last_colour != "rouge":
        return _decide_red(state, last_colour, edition, now, is_agreed=is_agreed)
    pending_alias = state.pop("pending", {}).get("alias")
    rank, before = COLOURS.index(colour), COLOURS.index(last_colour or "vert")
    last = (state["alias"],) if state.get("alias") else ()
    if pending_alias is not None and rank <= before:
        return ColourDecision(Step.WITHDRAW, (pending_alias,), bool(state.get("opened")))
    if rank == before:
        return ColourDecision(Step.NONE)
    if rank < before:
        return ColourDecision(Step.CANCEL, last, bool(state.get("opened")))
    if state.get("opened") and last and state.get("step") != Step.CANCEL:
        return ColourDecision(Step.UPDATE, last, is_alert=True)
    return ColourDecision(
        Step.ALERT, (pending_alias,) if pending_alias else (), is_alert=colour != "jaune"
    )


def _decide_red(
    state: dict[str, Any], last_colour: str | None, edition: str, now: datetime, *, is_agreed: bool
) -> ColourDecision:
    pending = state.setdefault("pending", {"since": format_instant(now), "edition": ""})
    is_jump = last_colour in ("vert", "jaune")
    if pending["edition"] != edition:
        pending |= {"edition": edition, "seen": format_instant(now)}
        if is_jump and not pending.get("alias"):
            return ColourDecision(Step.HOLD, is_alert=True, wait=True)
        return ColourDecision(Step.NONE, wait=True)
    if now - read_stored_time(pending["seen"]) < POLL_DELAY:
        return ColourDecision(Step.NONE, wait=True)
    waiting_time = now - read_stored_time(pending["since"])
    if is_jump and not is_agreed and waiting_time < JUMP_DELAY:
        return ColourDecision(Step.NONE, wait=True)
    pending_alias = pending.get("alias")
    del state["pending"]
    stands = bool(state.get("opened")) and state.get("step") != Step.CANCEL
    last = (state["alias"],) if stands else ()
    references = (*last, *((pending_alias,) if pending_alias else ()))
    return ColourDecision(
        Step.UPDATE if references else Step.ALERT,
        references,
        is_alert=True,
        confirms=pending_alias is not None,
    )


def note_said(state: dict[str, Any], decision: ColourDecision, colour: str, alias: str) -> None:
    """Keep the last post of a matter."""
    if decision.step is Step.HOLD:
        state["pending"]["alias"] = alias
        return
    state |= {
        "colour": colour,
        "alias": alias,
        "opened": decision.is_alert and colour != "vert",
        "step": decision.step.value,
    }


def build_alert_fields(decision: ColourDecision, colour: str) -> dict[str, Any]:
    """Return type, severity, certainty, message type and references of a post."""
    fields: dict[str, Any] = {
        "type": "weather_alert" if decision.is_alert else "info",
        "severity": SEVERITY[colour],
        "references": list(decision.references),
    }
    if decision.step is Step.HOLD:
        fields |= {"severity": HOLD_SEVERITY, "certainty": "unconfirmed"}
    if decision.references:
        fields["msg_type"] = "Update"
    return fields
