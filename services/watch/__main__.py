"""Start the watch over official feeds: `python -m services.watch`."""

from services.runtime.process.background import run_background
from services.watch.process import WatchProcess

if __name__ == "__main__":
    run_background("watch", {"watch": WatchProcess.open})
