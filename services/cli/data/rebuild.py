"""`vigie rebuild`: rebuild the read model from the logs."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Final

import typer
from redis.exceptions import RedisError

from services.cli.client import print_error
from services.console.read_model import store
from services.runtime.process.settings import Settings

POLL_INTERVAL_S: Final = 0.1


class NotRebuilt(Exception):
    """Signal that no projector started, or finished, in time; perhaps none is running."""


async def rebuild_read_model(url: str, patience_s: float) -> float:
    """Discard the read model, wait until a projector has filled it again, and return the seconds.

    Raises RedisError, OSError and NotRebuilt.
    """
    client = store.connect(url)
    began = time.monotonic()
    try:
        before = await client.get(store.EPOCH)
        await client.delete(store.EPOCH)
        while time.monotonic() - began < patience_s:
            epoch, state = await client.mget(store.EPOCH, store.STATE)
            if epoch not in (None, before) and state == b"live":
                return time.monotonic() - began
            await asyncio.sleep(POLL_INTERVAL_S)
    finally:
        await client.aclose()
    raise NotRebuilt(
        f"the read model is not whole after {patience_s:g} s: see `vigie status` and the projector's log"
    )


def rebuild(
    patience_s: Annotated[
        float, typer.Option("--wait", min=1, help="Seconds to wait for the end")
    ] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Rebuild the read model from the logs.

    Nothing is lost: reports are still accepted; pages answer 503 until it is complete.
    """
    settings = Settings()
    if not settings.redis:
        raise print_error(ValueError("no store: start `vigie up`, or set VIGIE_REDIS"))
    try:
        took = asyncio.run(rebuild_read_model(settings.redis, patience_s))
    except (RedisError, OSError) as error:
        raise print_error(ValueError(f"the store does not answer: {error}")) from error
    except NotRebuilt as error:
        raise print_error(error) from error
    typer.echo(
        json.dumps({"rebuilt_s": round(took, 2)})
        if as_json
        else f"rebuilt from the logs in {took:.1f} s"
    )
