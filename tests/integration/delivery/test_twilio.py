"""Voice against Twilio: the form of a call, and its answers."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from lxml import etree

from services.delivery.channels.base import CallResult
from services.delivery.channels.voice import TwilioVoice
from services.messages import MessageNames, compose_message, load_phrases
from tests.integration.delivery.outgoing import RETURNS, outgoing, with_forms
from tests.integration.delivery.serving import serving

TO = "+33612345678"
PATH = "/2010-04-01/Accounts/AC7/Calls.json"
FIELDS = {"To", "From", "Timeout", "Twiml", "StatusCallback", "StatusCallbackEvent"}


class Account:
    """Twilio as its documentation has it: Basic, a form, the number checked, 201 with a `sid`."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Answer the request that starts a call."""
        if request.headers.get("authorization") != "Basic " + b64encode(b"AC7:secret").decode():
            return web.json_response({"code": 20003, "status": 401}, status=401)
        assert (request.method, request.path) == ("POST", PATH)
        assert request.content_type == "application/x-www-form-urlencoded"
        form = parse_qs(await request.text(), strict_parsing=True)
        assert set(form) <= FIELDS
        if not form["To"][0].startswith("+336"):
            return web.json_response({"code": 21211, "status": 400}, status=400)
        self.forms.append(form)
        return web.json_response({"sid": "CA9", "status": "queued"}, status=201)


async def call(account: Account, to: str = TO, **changes: Any) -> CallResult:
    """Ring one number."""
    async with (
        serving(account.handle) as url,
        TwilioVoice(f"{url}{PATH}", "AC7:secret", "+33140000000", 40) as voice,
    ):
        return await voice.call(outgoing(to, **changes), 10)


async def test_a_call_speaks_twice_and_listens_for_a_key() -> None:
    account = Account()
    text = with_forms(outgoing(TO).text, voice="Feu <ici> & là.")
    assert await call(account, text=text) == CallResult("accepted", provider_id="CA9")
    (form,) = account.forms
    assert (form["To"], form["From"], form["Timeout"]) == ([TO], ["+33140000000"], ["40"])
    returns = f"{RETURNS}/twilio?language=fr"
    assert form["StatusCallback"] == [returns]
    spoken = etree.fromstring(form["Twiml"][0])
    gathers = spoken.findall("Gather")
    assert [(one.get("action"), one.get("numDigits")) for one in gathers] == [(returns, "1")] * 2
    assert [one.findtext("Say") for one in gathers] == ["Feu <ici> & là."] * 2
    assert {one.get("language") for one in spoken.iter("Say")} == {"fr-FR"}


async def test_information_listens_for_nothing() -> None:
    account = Account()
    row = outgoing(TO).row.model_copy(update={"answer_expected": False})
    await call(account, text=compose_message(row, MessageNames(), load_phrases("en"), None))
    (form,) = account.forms
    spoken = etree.fromstring(form["Twiml"][0])
    assert [one.tag for one in spoken] == ["Say", "Say"]


async def test_a_number_that_twilio_refuses_has_failed_for_good() -> None:
    assert await call(Account(), to="+33212345678") == CallResult("failed", error="voice_400")
