"""Run the auditor: `python -m services.verify.auditor`."""

from services.runtime.process.background import run_background
from services.verify.auditor.process import AuditorProcess

if __name__ == "__main__":
    run_background("auditor", {"audit": AuditorProcess.open})
