"""Read untrusted calendars in a process with limits of time and memory.

`python -m services.oncall.ics_worker CPU_S NOW_MS [FROM_MS TO_MS] < file.ics` writes one JSON
document to standard output.
"""

import asyncio
import dataclasses
import json
import resource
import sys
from typing import Final

from schemas.base import Instant
from services.oncall.ics import (
    MAX_FILE_BYTES,
    CalendarOccurrence,
    CalendarRefused,
    ImportedCalendar,
    TimeWindow,
    read_calendar,
)

CPU_S: Final = 4
MEMORY_BYTES: Final = 2 << 30
TOO_EXPENSIVE: Final = (
    "Ce calendrier demande trop de calcul : ses règles de répétition ne sont pas celles d’une "
    "astreinte."
)


async def read_untrusted_calendar(
    content: bytes, now: Instant, window: TimeWindow | None = None, *, cpu_s: int = CPU_S
) -> ImportedCalendar:
    """Read a calendar like `services.oncall.ics.read_calendar`, with at most `cpu_s` of processor.

    On a busy machine that takes longer: the caller limits its wait, which ends the process. Raises
    CalendarRefused.
    """
    if len(content) > MAX_FILE_BYTES:
        return read_calendar(content, now, window)  # Refuses at once.
    arguments = [str(cpu_s), str(now), *(str(t) for t in window or ())]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.oncall.ics_worker",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await process.communicate(content)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not output:
        raise CalendarRefused(TOO_EXPENSIVE)
    reply = json.loads(output)
    if (why := reply.get("refused")) is not None:
        raise CalendarRefused(why)
    occurrences = (
        CalendarOccurrence(
            **{**o, "attendees": tuple(o["attendees"]), "categories": tuple(o["categories"])}
        )
        for o in reply["occurrences"]
    )
    return ImportedCalendar(reply["name"], tuple(occurrences))


def main(arguments: list[str]) -> int:
    """Read a calendar from standard input and write the result to standard output."""
    cpu_s, now, *window = map(int, arguments)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        calendar = read_calendar(
            sys.stdin.buffer.read(), now, (window[0], window[1]) if window else None
        )
    except CalendarRefused as refusal:
        json.dump({"refused": str(refusal)}, sys.stdout)
        return 0
    except MemoryError:
        json.dump({"refused": TOO_EXPENSIVE}, sys.stdout)
        return 0
    json.dump(dataclasses.asdict(calendar), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
