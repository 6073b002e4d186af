"""An integration is one module: nothing else lists it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.intake import integrations
from services.intake.integrations.discovery import load_integrations

ZABBIX = """
NAME = "zabbix"
PATHS = ("/webhooks/zabbix",)


def signals(asked, source):
    return ()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a second folder of integrations."""
    monkeypatch.setattr(integrations, "__path__", [*integrations.__path__, str(tmp_path)])
    load_integrations.cache_clear()
    yield tmp_path
    load_integrations.cache_clear()
    for name in ("zabbix_of_a_test", "twin_of_a_test"):
        sys.modules.pop(f"{integrations.__name__}.{name}", None)


def test_all_integrations_are_found() -> None:
    assert set(load_integrations()) == {
        "alertmanager",
        "apprise",
        "cloudevents",
        "generic",
        "goalert",
        "mail",
        "opsgenie",
        "pagerduty",
    }


def test_a_new_module_is_an_integration(folder: Path) -> None:
    (folder / "zabbix_of_a_test.py").write_text(ZABBIX, encoding="utf-8")
    assert load_integrations()["zabbix"].PATHS == ("/webhooks/zabbix",)


def test_two_integrations_cannot_share_a_path(folder: Path) -> None:
    (folder / "twin_of_a_test.py").write_text(
        ZABBIX.replace("/webhooks/zabbix", "/webhooks/generic"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="twin_of_a_test: another integration"):
        load_integrations()
