"""Fill caches of libraries at import, before the fork server creates services.

Each service reads its settings first. That asks whether some types are mappings or sequences.
Python then asks every subclass of those and notes each answer, in a page that the services would
share otherwise: 9 MB per service, and 12 MB more for the connectors of the official feeds. Faust
reads the metadata of all installed packages to find extensions, in each decider.
"""

from contextlib import suppress

from faust.fixups import FIXUPS
from faust.transport.drivers import TRANSPORTS

from schemas.base import load_messages
from services.alerts.levels.metrics import load_metric_types
from services.cli.system.settings_reference import GROUPS
from services.console.logbook.facts import load_line_types
from services.console.web.pages import load_pages
from services.intake.integrations.discovery import load_integrations
from services.watch.connector import list_connectors

for _, kind in GROUPS:
    with suppress(OSError, ValueError):  # The service that needs them says so itself
        kind()
list_connectors()
load_integrations()
load_line_types()
load_messages()
load_metric_types()
load_pages()
list(FIXUPS.iterate())
TRANSPORTS.by_name("aiokafka")
