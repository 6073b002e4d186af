"""Start the watch over official feeds: `python -m services.watch`."""

import uvloop

from services.runtime.process import logs
from services.watch.process import WatchSettings, run_watch

if __name__ == "__main__":
    logs.configure_logging("watch")
    uvloop.run(run_watch(WatchSettings()))
