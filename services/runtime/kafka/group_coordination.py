"""Group membership that survives a rebalance, and ends the process rather than stand still.

Two faults of aiokafka leave a member without partitions for ever, while the process lives on:

* A commit that is sent behind a JoinGroup request carries the generation before. The broker answers
  it after the join, with an error. aiokafka then forgets the generation and the name that it has
  just got, and its SyncGroup request is refused. See
  https://github.com/aio-libs/aiokafka/issues/727.
* After an error that it does not expect, aiokafka waits until somebody reads records, or ends its
  coordination. Faust reads none before it has partitions.

A third one delays the first record of new partitions: the broker still waits for records of those
before, and answers no other fetch on that connection.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.client import ConnectionGroup
from aiokafka.errors import RebalanceInProgressError

FETCH_END_S: Final = 0.01
"""Pause in which aiokafka gives up its fetches of earlier partitions, without an error."""


class GroupCoordination:
    """Group membership of one started consumer.

    It replaces `GroupCoordinator._do_rejoin_group`, `_do_commit_offsets` and `_push_error_to_user`.
    """

    def __init__(self, consumer: Any, fail: Callable[[Exception], None]) -> None:
        """Attach to a consumer; `fail` ends the process. It runs in the consumer's thread."""
        coordinator = consumer._coordinator
        self._rejoin: Any = coordinator._do_rejoin_group
        self._commit: Any = coordinator._do_commit_offsets
        self._push_error: Any = coordinator._push_error_to_user
        self._closing: Any = coordinator._closing
        self._client: Any = consumer._client
        self._fail = fail
        self._is_joining = False
        coordinator._do_rejoin_group = self._rejoin_alone
        coordinator._do_commit_offsets = self._commit_between_joins
        coordinator._push_error_to_user = self._push_error_or_fail
        coordinator._coordination_task.add_done_callback(self._note_end)

    async def _rejoin_alone(self, subscription: Any) -> bool:
        self._is_joining = True
        try:
            has_joined: bool = await self._rejoin(subscription)
        finally:
            self._is_joining = False
        if has_joined:
            await self._end_fetches()
        return has_joined

    async def _end_fetches(self) -> None:
        """Close the connections of fetches, so that those of new partitions wait for no old one."""
        await asyncio.sleep(FETCH_END_S)
        for (_, group), connection in list(self._client._conns.items()):
            if group == ConnectionGroup.DEFAULT:
                connection.close()

    async def _commit_between_joins(self, assignment: Any, offsets: Any) -> None:
        """Commit, or refuse while a join is under way; aiokafka calls that «already rebalanced»."""
        if self._is_joining:
            raise RebalanceInProgressError
        await self._commit(assignment, offsets)

    async def _push_error_or_fail(self, error: Exception) -> Any:
        if not self._closing.done():
            self._fail(error)
        return await self._push_error(error)

    def _note_end(self, coordination: asyncio.Task[None]) -> None:
        if coordination.cancelled() or self._closing.done():
            return
        if isinstance(error := coordination.exception(), Exception):
            self._fail(error)
