"""Serve `/compte/second-facteur`: add an authenticator application and print ten codes.

It is the only page of a person without the second factor they need.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import pyotp
import segno
from fastapi import APIRouter, Form, Request, Response
from markupsafe import Markup

from services.console.accounts.account_page import account_of, adding_factor, is_named, with_session
from services.console.web.access import ENROL, Stranger
from services.console.web.shell import Choice, render
from services.runtime.http.problems import Language, ProblemError, fault
from services.runtime.identity.accounts import AccessStore, new_code
from services.runtime.identity.http_access import session_of
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.role_names import OF_A_PERSON, forbidden
from services.runtime.identity.sessions import PRINTED_CODES, Session, Sessions, new_totp_secret

_SECRET: Final = re.compile("[A-Z2-7]{16,64}")
NOT_SHOWN: Final = (
    "Ce n’est pas le code affiché. Vérifiez l’heure de l’appareil, puis recommencez.",
    "This is not the code that is shown. Check the clock of the device, then try again.",
)


def second_factor_routes(router: APIRouter) -> None:
    """Add the routes. The application sets `app.state.access` and `app.state.sessions`."""

    @router.get(ENROL)
    async def form(request: Request) -> Response:
        return _form(request, _session(request), new_totp_secret())

    @router.post(ENROL)
    async def enrol(
        request: Request, secret: Annotated[str, Form()] = "", second: Annotated[str, Form()] = ""
    ) -> Response:
        person = await adding_factor(request)
        _session(request)
        access: AccessStore = request.app.state.access
        sessions: Sessions = request.app.state.sessions
        account = account_of(request, person) or Account(id=person.id, login=person.id)
        printed = [new_code() for _ in range(PRINTED_CODES)]
        if _SECRET.fullmatch(secret) is None:
            secret, second = new_totp_secret(), ""
        try:
            await sessions.enrol_second_factor(account, secret, second, printed)
        except ProblemError:
            wrong = ProblemError("invalid", faults=(fault("second", "totp", *NOT_SHOWN),))
            return _form(request, _session(request), secret, refused=wrong)
        access.trace(person, "second_factor.added", person.id)
        return with_session(_page(request, {"printed": printed}), sessions.admit(person), request)


def _session(request: Request) -> Session:
    session = session_of(request)
    if session is None:
        raise Stranger
    if session.principal.role is Role.KIOSK:
        raise forbidden(session.principal.role, OF_A_PERSON)
    return session


def _form(
    request: Request, session: Session, secret: str, *, refused: ProblemError | None = None
) -> Response:
    account = account_of(request, session.principal)
    uri = pyotp.TOTP(secret).provisioning_uri(
        name=_name(account, session.principal), issuer_name="Vigie"
    )
    language: Language = "en" if Choice.of(request).lang == "en" else "fr"
    context: dict[str, Any] = {
        "printed": [],
        "secret": secret,
        "uri": uri,
        "csrf": session.csrf,
        "must": session.enrolling,
        "named": is_named(request),
        "has_key": bool(session.enrolling and account is not None and account.passkeys),
        # our own drawing of letters and digits
        "drawn": Markup(segno.make(uri, error="m").svg_inline(scale=5, border=2)),  # noqa: S704
        "refusal": refused.problem.faults[0].message[language] if refused else "",
    }
    return _page(request, context, refused.problem.status if refused else 200)


def _page(request: Request, context: dict[str, Any], status: int = 200) -> Response:
    return render("second-factor.html", context, Choice.of(request), status=status)


def _name(account: Account | None, person: Principal) -> str:
    return account.login if account is not None else person.id
