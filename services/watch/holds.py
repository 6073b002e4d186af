"""The right of one machine to read a feed or the mailbox.

A single machine always has it. In a cluster `services.watch.sharing` gives it to one machine at a
time, and keeps the memory of what it reads on all of them.
"""


class FeedHolds:
    """Rights of this machine, by name of a feed or of the mailbox: all, as it shares with none."""

    def is_holder(self, name: str) -> bool:  # noqa: ARG002
        """Return whether this machine holds a feed, as far as it knows."""
        return True

    async def acquire(self, name: str) -> bool:  # noqa: ARG002
        """Return whether this machine holds a feed; take it over if it is its turn."""
        return True

    async def begin_round(self, name: str) -> bool:  # noqa: ARG002
        """Tell the others that a round begins. False: another machine holds the feed now."""
        return True

    async def share(self, name: str) -> bool:  # noqa: ARG002
        """Give the others the present state. False: they do not have it, so it must not be used."""
        return True
