"""Ways to reach a person in a live realm: one folder per channel, with its settings, their linter and its driver.

Which are there is a matter of settings. What each promises (limits, doubt, receipts) is in `services.delivery.notifications.channel_policies`.
"""

from services.delivery.channels.base import Driver, Fault, Inbox, Outgoing, Probing, Result

__all__ = ["Driver", "Fault", "Inbox", "Outgoing", "Probing", "Result"]
