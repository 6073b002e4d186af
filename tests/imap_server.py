"""Serve a mailbox over IMAP4rev1, strictly: other commands than those of RFC 3501 are refused."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tests.certificates import make_certificate

_COMMAND = re.compile(r"(?P<tag>[A-Z0-9]+) (?P<name>UID [A-Z]+|[A-Z]+)(?: (?P<rest>.*))?")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s()"{]+)')
_FETCH = re.compile(r"(\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)")


@dataclass
class StoredMail:
    content: bytes
    arrived: date = date(2027, 2, 11)
    seen: bool = False


@dataclass
class ImapServer:
    """One account with one folder."""

    certificate: Path
    key: Path
    user: str = "vigie@dept.example"
    password: str = 'p "\\ss'
    folder: str = "Alarmes"
    starttls: bool = False
    offers_tls: bool = True
    plain: bool = True
    """Offers AUTHENTICATE PLAIN."""
    validity: int = 7
    mails: dict[int, StoredMail] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    read_only: bool = False
    port: int = 0

    def deliver(self, content: bytes, number: int = 0, **facts: object) -> int:
        number = number or max(self.mails, default=0) + 1
        self.mails[number] = StoredMail(content, **facts)  # type: ignore[arg-type]
        return number

    @property
    def url(self) -> str:
        scheme = "imap+starttls" if self.starttls else "imaps"
        secret = "".join(f"%{b:02X}" for b in self.password.encode())
        return f"{scheme}://vigie%40dept.example:{secret}@127.0.0.1:{self.port}/{self.folder}"

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await ImapSession(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


class ImapSession:
    def __init__(
        self, server: ImapServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.secure, self.state = not server.starttls, "not authenticated"

    async def run(self) -> None:
        self.say("* OK ready")
        while self.state != "logout":
            line = (await self.reader.readline()).decode().removesuffix("\r\n")
            if not line:
                return
            self.server.commands.append(line)
            command = _COMMAND.fullmatch(line)
            if command is None:
                self.refuse("*", line)
                continue
            await self.obey(command["tag"], command["name"], command["rest"] or "")
            await self.writer.drain()

    def say(self, line: str) -> None:
        self.writer.write(f"{line}\r\n".encode())

    def refuse(self, tag: str, line: str, word: str = "BAD") -> None:
        self.server.refused.append(line)
        self.say(f"{tag} {word} refused: {line}")  # real ones repeat it, too

    async def obey(self, tag: str, name: str, rest: str) -> None:
        if name == "CAPABILITY":
            tls = " STARTTLS LOGINDISABLED" if not self.secure and self.server.offers_tls else ""
            plain = " AUTH=PLAIN" if self.server.plain and self.secure else ""
            self.say(f"* CAPABILITY IMAP4rev1{tls}{plain}")
            self.say(f"{tag} OK done")
        elif name == "LOGOUT":
            self.state = "logout"
            self.say("* BYE see you")
            self.say(f"{tag} OK done")
        elif name == "STARTTLS" and not self.secure and self.server.offers_tls:
            self.say(f"{tag} OK begin")
            await self.writer.drain()
            await self.writer.start_tls(self.server.context())
            self.secure = True
        elif name in ("LOGIN", "AUTHENTICATE") and self.state == "not authenticated":
            await self.log_in(tag, name, rest)
        elif name == "SELECT" and self.state != "not authenticated":
            self.select(tag, rest)
        elif name.startswith("UID ") and self.state == "selected":
            self.work(tag, name, rest)
        else:
            self.refuse(tag, f"{name} {rest}")

    async def log_in(self, tag: str, name: str, rest: str) -> None:
        assert self.secure, "a password in the clear"
        if name == "AUTHENTICATE":
            if rest != "PLAIN" or not self.server.plain:
                return self.refuse(tag, rest)
            self.say("+ ")
            await self.writer.drain()
            proof = base64.b64decode((await self.reader.readline()).strip(), validate=True)
            _, user, password = proof.decode().split("\0")
        else:
            user, password = (unquote(m) for m in _STRING.finditer(rest))
        if (user, password) != (self.server.user, self.server.password):
            return self.refuse(tag, "login", "NO")
        self.state = "authenticated"
        return self.say(f"{tag} OK done")

    def select(self, tag: str, rest: str) -> None:
        (folder,) = (unquote(m) for m in _STRING.finditer(rest))
        if folder != self.server.folder:
            return self.refuse(tag, folder, "NO")
        self.state = "selected"
        self.say(f"* {len(self.server.mails)} EXISTS")
        self.say(f"* OK [UIDVALIDITY {self.server.validity}] valid")
        return self.say(f"{tag} OK [READ-WRITE] selected")

    def work(self, tag: str, name: str, rest: str) -> None:
        mails = self.server.mails
        if name == "UID SEARCH":
            matching = " ".join(str(n) for n in self.search(rest))
            self.say(f"* SEARCH {matching}".rstrip())
        elif name == "UID FETCH" and (fetch := _FETCH.fullmatch(rest)):
            mail = mails.get(int(fetch[1]))
            if mail is not None:
                part = mail.content[: int(fetch[2])]
                self.say(f"* 1 FETCH (UID {fetch[1]} BODY[]<0> {{{len(part)}}}")
                self.writer.write(part + b")\r\n")
        elif name == "UID STORE" and re.fullmatch(r"\d+ \+FLAGS\.SILENT \(\\Seen\)", rest):
            if self.server.read_only:
                return self.refuse(tag, "STORE", "NO")
            if (mail := mails.get(int(rest.split(maxsplit=1)[0]))) is not None:
                mail.seen = True
        else:
            return self.refuse(tag, f"{name} {rest}")
        return self.say(f"{tag} OK done")

    def search(self, criteria: str) -> list[int]:
        mails = self.server.mails
        newest = max(mails, default=0)
        if criteria == "UNSEEN":
            return [n for n, m in mails.items() if not m.seen]
        if criteria == "UID *":
            return [newest] if newest else []
        if after := re.fullmatch(r"UID (\d+):\*", criteria):
            # RFC 3501: the range has the newest mail in any case
            return [n for n in mails if n >= min(int(after[1]), newest)]
        if since := re.fullmatch(r"SINCE (\d{1,2})-([A-Z][a-z]{2})-(\d{4})", criteria):
            month = "JanFebMarAprMayJunJulAugSepOctNovDec".index(since[2]) // 3 + 1
            day = date(int(since[3]), month, int(since[1]))
            return [n for n, m in mails.items() if m.arrived >= day]
        raise AssertionError(f"no criteria of a search: {criteria}")


def unquote(found: re.Match[str]) -> str:
    quoted, atom = found.groups()
    return atom if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


@asynccontextmanager
async def run_imap_server(folder: Path, *, starttls: bool = False) -> AsyncIterator[ImapServer]:
    server = ImapServer(*make_certificate(folder), starttls=starttls)
    listener = await asyncio.start_server(
        server.serve, "127.0.0.1", 0, ssl=None if starttls else server.context()
    )
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
