"""The front passes on the metrics of each process to callers with the token of the ports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.intake.http.process_metrics import ProcessMetrics
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.process.health import serve_health
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from services.runtime.secrets.local_secrets import get_or_create_token
from tests.unit.intake.conftest import Door


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path, health_port=0)
    settings.data.make()
    return settings


def write_ports(settings: Settings, **ports: int) -> str:
    """Write the ports of the last start and return the header with the token."""
    settings.data.ports.write_text(json.dumps(ports))
    return f"Bearer {get_or_create_token(settings.data.secrets)}"


async def test_the_metrics_of_a_process_are_passed_on(settings: Settings) -> None:
    server = await serve_health(settings, {})
    try:
        header = write_ports(settings, background=server.port)
        text = await ProcessMetrics(settings.data).fetch("background", header)
    finally:
        await server.close()
    assert b"vigie_build_info" in text


@pytest.mark.parametrize(
    ("process", "has_token", "code"),
    [
        ("background", True, "process_away"),
        ("background", False, "unauthenticated"),
        ("unknown", True, "not_found"),
        ("kafka", True, "not_found"),
        ("../metrics", True, "not_found"),
    ],
)
async def test_a_process_that_cannot_be_read_has_a_reason(
    settings: Settings, process: str, has_token: bool, code: str
) -> None:
    header = write_ports(settings, background=find_free_ports(1)[0], kafka=9092)
    with pytest.raises(ProblemError) as refused:
        await ProcessMetrics(settings.data).fetch(process, header if has_token else None)
    assert refused.value.problem.code == code


async def test_a_login_does_not_open_the_metrics_of_processes(tmp_path: Path) -> None:
    door = Door(tmp_path)
    async with await door.as_(Role.CELL) as http:
        answer = await http.get("/metrics/auditor")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    await door.close()
