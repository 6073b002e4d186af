"""Run a module in a fork that was imported before its failpoint was known.

`VIGIE_FAILPOINT=after-append:3 python -m tests.failpoint MODULE ARGUMENT…`
"""

from __future__ import annotations

import os
import runpy
import sys

from services.runtime.process.exits import SETTING, set_point

if __name__ == "__main__":
    set_point(os.environ[SETTING])
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
