"""A configured reverse proxy gives address and scheme of the caller; others are not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import ValidationError

from services.console.__main__ import build_server_config as console
from services.intake.app import build_server_config as front
from services.intake.settings import IntakeSettings
from services.runtime.secrets.front_mark import HEADER, FrontGuard, FrontMark
from services.runtime.secrets.keyring import MasterKey

SAID = [(b"x-forwarded-for", b"198.51.100.9, 192.0.2.7"), (b"x-forwarded-proto", b"https")]


class Seen:
    """Application that records the identity of its caller, and the host that it asked for."""

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.caller = (scope["client"][0], scope["scheme"])
        self.hosts = [value for name, value in scope["headers"] if name == b"host"]


async def caller(config: uvicorn.Config, seen: Seen, connected: str) -> tuple[str, str]:
    config.load()
    scope = {"type": "http", "client": (connected, 40000), "scheme": "http", "headers": SAID}
    await config.loaded_app(scope, None, None)  # type: ignore[arg-type]
    return seen.caller


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.1.2.3/8, 127.0.0.1", "127.0.0.0/8"])
async def test_a_configured_proxy_names_the_caller(tmp_path: Path, proxies: str) -> None:
    """All callers of a proxy counted as one without TLS, and shared one limit of login attempts."""
    application = Seen()
    settings = IntakeSettings(data_dir=tmp_path, proxies=proxies)
    assert await caller(front(application, settings), application, "127.0.0.1") == (
        "192.0.2.7",
        "https",
    )
    assert await caller(front(application, settings), application, "203.0.113.5") == (
        "203.0.113.5",
        "http",
    )


async def test_only_configured_proxies_are_believed(tmp_path: Path) -> None:
    application = Seen()
    assert await caller(
        front(application, IntakeSettings(data_dir=tmp_path)), application, "127.0.0.1"
    ) == (
        "127.0.0.1",
        "http",
    )


@pytest.mark.parametrize(
    ("connected", "named", "expected"),
    [
        ("10.0.0.4", b"crise.example:8080", b"crise.example:8080"),
        ("10.0.0.4", b"forged.example, crise.example", b"crise.example"),
        ("10.0.0.4", b" ", b"127.0.0.1:8092"),
        ("203.0.113.5", b"crise.example", b"127.0.0.1:8092"),
    ],
)
async def test_a_configured_proxy_names_the_host_that_the_browser_asked_for(
    tmp_path: Path, connected: str, named: bytes, expected: bytes
) -> None:
    """Logins and passkeys are bound to that name, and the proxy rewrites `Host`."""
    application = Seen()
    config = front(application, IntakeSettings(data_dir=tmp_path, proxies="10.0.0.4"))
    config.load()
    scope = {
        "type": "http",
        "client": (connected, 40000),
        "scheme": "http",
        "headers": [*SAID, (b"host", b"127.0.0.1:8092"), (b"x-forwarded-host", named)],
    }
    await config.loaded_app(scope, None, None)  # type: ignore[arg-type]
    assert application.hosts == [expected]
    assert application.caller[0] == ("192.0.2.7" if connected == "10.0.0.4" else connected)


@pytest.mark.parametrize("proxies", ["*", "proxy.example.org", "10.0.0.1,", "10.0.0.0/40"])
def test_a_proxy_is_named_by_its_address(tmp_path: Path, proxies: str) -> None:
    with pytest.raises(ValidationError, match="addresses or networks"):
        IntakeSettings(data_dir=tmp_path, proxies=proxies)


OF_FRONT = FrontMark(MasterKey(b"k" * 32))
OF_ANOTHER = FrontMark(MasterKey(b"x" * 32))


async def console_caller(mark: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the caller as the console sees it, for a request with this mark."""
    application = Seen()
    config = console(FrontGuard(application, OF_FRONT))
    config.load()
    headers = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https"), *mark]
    scope = {"type": "http", "client": ("172.18.0.9", 1), "scheme": "http", "headers": headers}
    await config.loaded_app(scope, None, None)  # type: ignore[arg-type]
    return application.caller


def mark_of(front: FrontMark) -> list[tuple[bytes, bytes]]:
    return [(HEADER.lower().encode(), front.make().encode())]


async def test_the_console_believes_the_front_also_from_another_container() -> None:
    assert await console_caller(mark_of(OF_FRONT)) == ("192.0.2.7", "https")


@pytest.mark.parametrize("mark", [[], mark_of(OF_ANOTHER)])
async def test_the_console_rejects_requests_without_the_mark_of_its_front(
    mark: list[tuple[bytes, bytes]],
) -> None:
    assert await console_caller(mark) == ("172.18.0.9", "http")
