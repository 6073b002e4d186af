"""Pass on the metrics of each process of `vigie up`; their health ports are on loopback.

So a Prometheus elsewhere reads them through the front. It needs the token of the health ports.
"""

import asyncio
from typing import Final

import aiohttp

from services.runtime.http.problems import ProblemError
from services.runtime.process.settings import DataDir
from services.runtime.process.sockets import read_ports
from services.runtime.secrets.local_secrets import get_or_create_token, is_token_valid

METRICS_PATH: Final = "/metrics"
SERVERS: Final = frozenset({"kafka", "controller", "samples"})
"""Names of ports that have no metrics."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)


class ProcessMetrics:
    """Reader of the health ports of one data directory."""

    def __init__(self, data: DataDir) -> None:
        self._data = data

    async def fetch(self, process: str, authorization: str | None) -> bytes:
        """Return the metrics of a process by its name in `vigie status`.

        Raises ProblemError `unauthenticated`, `not_found`, `process_away`.
        """
        token = await asyncio.to_thread(get_or_create_token, self._data.secrets)
        if not is_token_valid(authorization, token):
            raise ProblemError("unauthenticated")
        ports = await asyncio.to_thread(read_ports, self._data.ports)
        if process not in ports.keys() - SERVERS:
            raise ProblemError("not_found")
        url = f"http://127.0.0.1:{ports[process]}/metrics"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer,
            ):
                answer.raise_for_status()
                return await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProblemError("process_away", process=process) from error
