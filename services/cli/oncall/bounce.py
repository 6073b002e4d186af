"""`vigie bounce`: process bounced mail from a mail server.

Use an alias such as `vigie-bounces: "|vigie bounce"`.
"""

import sys
from typing import Any

import typer

EX_TEMPFAIL = 75
"""sysexits.h: the mail server keeps the mail and tries again."""


def bounce() -> None:
    """Read one bounced mail from standard input and report the outcome of the original mail.

    Exits with 0 if done or not about a mail of Vigie, with 75 to try again later.
    """
    from services.cli.client import ApiClient, ApiRefused, VigieUnreachable
    from services.delivery.channels.email import read_bounce
    from services.runtime.process.settings import Settings

    bounced_mail = read_bounce(sys.stdin.buffer.read())
    if bounced_mail is None or bounced_mail.state is None:
        return
    body: dict[str, Any] = {
        "status": bounced_mail.state,
        "error": bounced_mail.error,
        "channel": "email",
    }
    try:
        with ApiClient(Settings()) as client:
            client.call("POST", f"/r/{bounced_mail.token}", body)
    except ApiRefused as refusal:
        if refusal.status in (404, 422):
            return  # The link is over or forged; a repetition would change nothing.
        raise typer.Exit(EX_TEMPFAIL) from refusal
    except VigieUnreachable as away:
        raise typer.Exit(EX_TEMPFAIL) from away
