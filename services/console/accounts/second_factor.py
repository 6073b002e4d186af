"""Serve `/compte/second-facteur`: add an authenticator application and print ten codes.

It is the only page of a person without the second factor they need.
"""

import re
from typing import Annotated, Any, Final

import pyotp
import segno
from fastapi import APIRouter, Form, Request, Response
from markupsafe import Markup

from services.console.accounts.account_screen import (
    can_use_passkey,
    find_account,
    require_factor_change,
    set_session_cookies,
)
from services.console.web.access import ENROL_PATH, LoginRequired
from services.console.web.shell import DisplayChoice, render_response
from services.runtime.http.problems import Language, ProblemError, build_fault
from services.runtime.identity.accounts import AccessStore, generate_code
from services.runtime.identity.http_access import read_session
from services.runtime.identity.permissions import PERSONAL_ACCOUNT, Role, build_forbidden
from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.sessions import (
    PRINTED_CODE_COUNT,
    Session,
    Sessions,
    create_totp_secret,
)

_SECRET: Final = re.compile("[A-Z2-7]{16,64}")
WRONG_CODE: Final = (
    "Ce n’est pas le code affiché. Vérifiez l’heure de l’appareil, puis recommencez.",
    "This is not the code that is shown. Check the clock of the device, then try again.",
)


def add_second_factor_routes(router: APIRouter) -> None:
    """Add the routes. The application sets `app.state.access` and `app.state.sessions`."""

    @router.get(ENROL_PATH)
    async def form(request: Request) -> Response:
        return _render_form(request, _require_session(request), create_totp_secret())

    @router.post(ENROL_PATH)
    async def enrol(
        request: Request, secret: Annotated[str, Form()] = "", second: Annotated[str, Form()] = ""
    ) -> Response:
        person = await require_factor_change(request)
        _require_session(request)
        access: AccessStore = request.app.state.access
        sessions: Sessions = request.app.state.sessions
        account = find_account(request, person) or Account(id=person.id, login=person.id)
        printed_codes = [generate_code() for _ in range(PRINTED_CODE_COUNT)]
        if _SECRET.fullmatch(secret) is None:
            secret, second = create_totp_secret(), ""
        try:
            await sessions.enrol_second_factor(account, secret, second, printed_codes)
        except ProblemError:
            wrong = ProblemError("invalid", faults=(build_fault("second", "totp", *WRONG_CODE),))
            return _render_form(request, _require_session(request), secret, error=wrong)
        access.trace(person, "second_factor.added", person.id)
        return set_session_cookies(
            _render_page(request, {"printed": printed_codes}), sessions.admit(person), request
        )


def _require_session(request: Request) -> Session:
    session = read_session(request)
    if session is None:
        raise LoginRequired
    if session.principal.role is Role.KIOSK:
        raise build_forbidden(session.principal.role, PERSONAL_ACCOUNT)
    return session


def _render_form(
    request: Request, session: Session, secret: str, *, error: ProblemError | None = None
) -> Response:
    account = find_account(request, session.principal)
    uri = pyotp.TOTP(secret).provisioning_uri(
        name=_get_name(account, session.principal), issuer_name="Vigie"
    )
    language: Language = "en" if DisplayChoice.of(request).lang == "en" else "fr"
    context: dict[str, Any] = {
        "printed": [],
        "secret": secret,
        "uri": uri,
        "csrf": session.csrf,
        "must": session.enrolling,
        "named": can_use_passkey(request),
        "has_key": bool(session.enrolling and account is not None and account.passkeys),
        # our own drawing of letters and digits
        "drawn": Markup(segno.make(uri, error="m").svg_inline(scale=5, border=2)),  # noqa: S704
        "refusal": error.problem.faults[0].message[language] if error else "",
    }
    return _render_page(request, context, error.problem.status if error else 200)


def _render_page(request: Request, context: dict[str, Any], status: int = 200) -> Response:
    return render_response("second-factor.html", context, DisplayChoice.of(request), status=status)


def _get_name(account: Account | None, person: Principal) -> str:
    return account.login if account is not None else person.id
