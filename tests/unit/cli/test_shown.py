"""Commands show foreign text unchanged and harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli import lists, output
from services.cli.client import print_error
from services.cli.crisis import read
from services.cli.data import territory_records
from services.cli.lists import show_list
from services.cli.system import doctor, source, status
from services.runtime.process.files import DataDirLock
from services.runtime.process.settings import DataDir
from tests.unit.console.test_pages import line

WORDS = "[/srv/x] est plein [red] [a-1]"


def test_a_headline_is_no_markup_and_no_command_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One report with such a headline ended `vigie incidents` for everybody."""
    show_list(
        {"items": [{"headline": f"{WORDS}\x1b[2J\a"}], "next": None},
        False,
        "Incidents",
        [("Quoi", lambda item: item["headline"])],
    )
    terminal_text = capsys.readouterr().out
    assert WORDS in terminal_text
    assert not {"\x1b", "\a"} & set(terminal_text)


def test_a_list_that_is_never_cut_has_no_next_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`vigie territory reviews` ended with a traceback."""
    review: dict[str, Any] = {
        "id": "PT-ELEC",
        "kind": "plan",
        "title": "Électricité",
        "owner": "directeur_pole",
        "reviewed_on": None,
        "confirmed_by": None,
        "due_on": None,
        "state": "overdue",
    }
    monkeypatch.setattr(territory_records, "call_api", lambda *_: {"items": [review]})
    territory_records.reviews()
    assert "Revue annuelle\N{NO-BREAK SPACE}: 1" in capsys.readouterr().out


def test_no_table_and_no_error_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_rows("\x1b[2J Titre", ("Nom",), [("\x1b]0;Siège\x07",)])
    print_error("refusé : \x1b[1A")
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "Siège" in printed.out


def test_characters_that_change_the_direction_of_writing_are_visible(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """«\u202egnp.erutcaf» reads as a picture."""
    control_characters = "".join(
        map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x08, 0x0D))
    )
    show_list(
        {"items": [{"text": f"avant{control_characters}après"}], "next": None},
        False,
        "Main courante",
        [("Quoi", lambda item: item["text"])],
    )
    shown_words = capsys.readouterr().out
    assert not set(control_characters) & set(shown_words)
    assert "avant\N{REPLACEMENT CHARACTER}" in shown_words


def test_the_logbook_of_a_storm_is_one_entry_and_each_line_can_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storm = [line(k, "Coupure de courant : {sites}").model_dump(mode="json") for k in range(1, 89)]
    danger = line(100, None, text="Fuite de gaz : site 100").model_dump(mode="json")
    monkeypatch.setattr(
        read, "fetch_list", lambda *_, **__: {"items": [*storm, danger], "next": None}
    )
    read.timeline()
    shown_words = capsys.readouterr().out
    assert "Coupure de courant : 88 sites" in shown_words
    assert "88 lignes" in shown_words
    assert "Fuite de gaz : site 100" in shown_words
    assert "site 40" not in shown_words
    read.timeline(each=True)
    assert "Coupure de courant : site 40" in capsys.readouterr().out
    read.timeline(as_json=True)
    assert len(json.loads(capsys.readouterr().out)["items"]) == 89


def test_the_reason_of_an_end_is_shown_in_one_line_of_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process: dict[str, Any] = {
        "name": "broker",
        "pid": None,
        "state": "backing_off",
        "since": "2026-11-26T20:00:00+00:00",
        "restarts": 3,
        "why": f"exit 1: {WORDS}, see /srv/vigie/logs/broker.jsonl",
    }
    status._show_status(
        {
            "state": "starting",
            "http": "127.0.0.1:8092",
            "processes": [process],
            "lag": None,
            "levels": None,
            "holds": None,
        }
    )
    assert process["why"] in capsys.readouterr().out


def test_a_finding_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._show_results([doctor.DoctorFinding("disk room", "fault", WORDS, f"chmod {WORDS}")])
    assert capsys.readouterr().out.count(WORDS) == 2


def test_a_source_is_shown_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {
        "name": "[/x]",
        "enabled": False,
        "dialect": "native",
        "site": None,
        "last_seen": None,
        "silent": True,
        "heartbeat_s": None,
        "per_minute": 60,
        "accepted": 0,
        "refused": {},
        "last_refusal": {"fields": [{"field": "headline", "detail": WORDS}]},
    }
    monkeypatch.setattr(source, "fetch_list", lambda *_: {"items": [one], "next": None})
    source.list_(as_json=False)
    terminal_text = capsys.readouterr().out
    assert "[/x] (arrêtée)" in terminal_text
    assert "jamais" in terminal_text


def test_the_status_of_a_system_shows_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataDir(tmp_path)
    data.make()
    data.status.write_text(
        '{"state": "ready", "redis": "redis://:hunter2@store:6379/0", "http": "127.0.0.1:8092", "processes": []}'
    )
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(status, "_fetch_overviews", lambda _: None)
    monkeypatch.setattr(status, "ANSWER_TIMEOUT_S", 0.01)
    lock = DataDirLock(data.lock)
    try:
        status.status(as_json=True, targets=False)
    finally:
        lock.release()
    assert json.loads(capsys.readouterr().out)["redis"] == "redis://store:6379/0"


def test_the_status_reports_a_full_disk_and_missing_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The states come from the full disk: they said ready while the broker was down."""
    data = DataDir(tmp_path)
    data.make()
    broker = {
        "name": "broker",
        "pid": 2**22 + 7,
        "state": "ready",
        "since": "2026-11-26T20:00:00+00:00",
        "restarts": 0,
        "why": None,
    }
    data.status.write_text(
        json.dumps({"state": "ready", "redis": "", "http": "127.0.0.1:8092", "processes": [broker]})
    )
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(status, "_fetch_overviews", lambda _: None)
    monkeypatch.setattr(status, "read_free_mb", lambda _: 3)
    monkeypatch.setattr(status, "ANSWER_TIMEOUT_S", 0.01)
    lock = DataDirLock(data.lock)
    try:
        status.status(as_json=True, targets=False)
        faults = json.loads(capsys.readouterr().out)["faults"]
        status.status(as_json=False, targets=False)
    finally:
        lock.release()
    full, missing = faults
    assert "is full (3 MB free" in full
    assert missing == "processes that no longer exist, though shown below: broker"
    assert missing in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ahead_ms", "said"),
    [(7_200_000, ["the newest record is 7200 s ahead of this machine"]), (1500, []), (-60_000, [])],
)
def test_the_status_reports_records_from_the_future(ahead_ms: int, said: list[str]) -> None:
    clock_faults = status.find_clock_faults(1_800_000_000_000 + ahead_ms, 1_800_000_000_000)
    assert [fault.partition(": ")[0] for fault in clock_faults] == said


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://u:p@h:1/0?ssl_ca_certs=/x",
        "unix:///run/store.sock",
        "",
    ],
)
def test_an_address_without_a_login_stays(url: str) -> None:
    assert status.strip_login(url) == url.replace("u:p@", "")


ROWS = [
    [
        "92-2027-0211-01",
        "Coupure électrique à Nanterre-Préfecture",
        "",
        "97ed5fd9-5a4f-5e00-aa42-9b75d1b980ff",
    ]
]
NAMES = ["Numéro", "Titre", "Escalade", output.IDENTIFIER]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_an_identifier_is_in_one_piece_at_any_width(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine columns of six letters are no table: at 80 columns an identifier went over six lines."""
    monkeypatch.setattr(output, "PIPED_COLUMNS", columns)
    output.print_rows("Incidents : 1", NAMES, ROWS)
    terminal_text = capsys.readouterr().out
    assert ROWS[0][-1] in terminal_text
    assert max(map(len, terminal_text.splitlines())) <= columns


def test_a_table_wider_than_the_terminal_is_shown_as_a_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PIPED_COLUMNS", 60)
    output.print_rows("Incidents : 1", NAMES, ROWS)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[0] for line in lines] == ["Incidents", "Numéro", "Titre", "Identifiant"], (
        "what is empty is left out"
    )


def test_codes_of_messages_lines_and_proposals_are_shown_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = {
        "id": "n-1",
        "planned_at": None,
        "level": 3,
        "wave": 1,
        "cycle": 1,
        "role": "cellule_si",
        "channel": "sms",
        "state": "failed",
        "acknowledged_at": None,
        "why": "channel_not_configured",
    }
    alarm = line(1, kind="alarm", source=None, text="t").model_dump(mode="json")

    def fetch_list(path: str, *_args: Any, **_filters: Any) -> dict[str, Any]:
        return {"items": [message if "notif" in path else alarm], "next": None}

    for module in (lists, read):
        monkeypatch.setattr(module, "fetch_list", fetch_list)
    read.notifications(as_json=False)
    read.timeline(as_json=False)
    terminal_text = capsys.readouterr().out
    assert "canal non configuré" in terminal_text
    assert "alarme" in terminal_text
