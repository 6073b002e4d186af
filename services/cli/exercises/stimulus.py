"""`vigie stimulus`: facilitate an exercise: list its stimuli, play, skip, restore or note one."""

from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from schemas.crisis.stimuli import BEST_MARK
from services.cli.client import open_api, print_error
from services.cli.crisis.decide import Body, decision
from services.cli.lists import AsJson, Realm, Row, format_local_time, listing
from services.cli.output import IDENTIFIER, create_group, print_json, strip_controls
from services.console.facilitation.page import STATES
from services.console.facilitation.resources import StimulusState
from services.console.i18n import get_translator

_ = get_translator("fr")
MOST_STIMULI: Final = 1000
app = create_group("Stimuli of an exercise: list, play now, skip, restore, note.")
Id = Annotated[str, typer.Argument(help="Id of the stimulus, from `vigie stimulus list`")]


def _write_state(row: Row) -> str:
    return _(STATES[StimulusState(row["state"])])


def _write_mark(row: Row) -> str:
    return "" if row["mark"] is None else f"{row['mark']:g} / {BEST_MARK}"


@app.command("list")
@listing(
    "/api/v1/stimuli",
    "Stimuli",
    (
        (IDENTIFIER, lambda s: s["id"]),
        ("Prévu", lambda s: format_local_time(s["at"])),
        ("Stimulus", lambda s: strip_controls(s["title"] or "")),
        ("État", _write_state),
        ("Réaction (min)", lambda s: "" if s["reacted_min"] is None else f"{s['reacted_min']:g}"),
        ("Note", _write_mark),
    ),
)
def list_stimuli() -> None:
    """List the stimuli of an exercise by their time; players see only those played."""


@app.command("play")
def play(id: Id, realm: Realm = None, as_json: AsJson = False) -> None:
    """Play a stimulus now, or once more; `vigie play --facilitate` then leaves it out."""
    query = urlencode({"limit": MOST_STIMULI} | ({"realm": realm} if realm else {}))
    with open_api() as client:
        stimuli = client.get(f"/api/v1/stimuli?{query}")["items"]
        one = next((row for row in stimuli if row["id"] == id), None)
        if one is None:
            names = ", ".join(row["id"] for row in stimuli) or "none"
            raise print_error(f"no stimulus {id}; there are: {names}")
        if one["body"] is None:
            raise print_error(f"{id} is told by a person: it has no report to send")
        body = one["body"] | {"realm": one["realm"]}
        key = f"{one['realm']}:{body['alias']}"
        _status, receipt = client.post("/api/v1/reports", body, key)
    if as_json:
        print_json(receipt)
        return
    typer.secho(f"{id} joué : {receipt['report_id']}", fg="green")


@app.command("skip")
@decision("stimuli/{id}:skip", "Stimulus sauté", is_versioned=True)
def skip(id: Id) -> None:
    """Leave a stimulus out; `vigie play --facilitate` does not send it."""


@app.command("restore")
@decision("stimuli/{id}:restore", "Stimulus remis", is_versioned=True)
def restore(id: Id) -> None:
    """Plan a stimulus again that was left out."""


@app.command("note")
@decision("stimuli/{id}:note", "Note enregistrée")
def note(
    id: Id,
    mark: Annotated[
        int | None, typer.Option(min=0, max=BEST_MARK, help="0: no reaction, 3: as expected")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Observation; stored encrypted")] = None,
) -> Body:
    """Note how players reacted to a stimulus: a mark, words, or both."""
    if mark is None and not (text and text.strip()):
        raise typer.BadParameter("give --mark, --text or both")
    return {"mark": mark, "text": text}
