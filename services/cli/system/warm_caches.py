"""Fill caches of libraries at import, before the fork server creates services.

Each service reads its settings first. That asks whether some types are mappings or sequences.
Python then asks every subclass of those and notes each answer, in a page that the services would
share otherwise: 9 MB per service, and 12 MB more for the connectors of the official feeds.
"""

from contextlib import suppress

from schemas.base import load_messages
from services.cli.system.settings_reference import GROUPS
from services.watch.connector import list_connectors

for _, kind in GROUPS:
    with suppress(OSError, ValueError):  # The service that needs them says so itself
        kind()
list_connectors()
load_messages()
