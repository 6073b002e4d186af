"""`python -m tests.integration.runtime.forked FILE`: a service for tests of the fork server.

It writes its environment to FILE, then obeys it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    output_path = Path(sys.argv[1])
    number = int(os.environ["TOLD_FD"])
    details = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "said": os.environ["SAID"],
        "stranger": os.environ.get("STRANGER"),
        "argv0": sys.argv[0],
        "through": os.read(number, 100).decode(),
        "fds": [n.name for n in Path("/proc/self/fd").iterdir()],
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "warm": [name for name in ("aiokafka", "tabnanny") if name in sys.modules],
    }
    print("spoken")  # The interpreter keeps no output back
    output_path.write_text(json.dumps(details))
    while True:
        time.sleep(0.05)
        match (
            output_path.with_suffix(".do").read_text()
            if output_path.with_suffix(".do").exists()
            else ""
        ):
            case "leave":
                sys.exit(7)
            case "say":
                sys.exit("a last word")
            case "fail":
                raise ValueError("of no use")


if __name__ == "__main__":
    main()
