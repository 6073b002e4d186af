"""Read accounts of people from a CSV file, and check their rights. Rules D56 and D59."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from services.console.accounts.accounts_page import PERSON_ROLES
from services.console.directory.contact_file import NO_TOKEN, is_token
from services.console.exports.line_faults import LineFault, TableInvalid
from services.console.exports.tables import unescape_formula
from services.runtime.http.problems import FieldFault, build_fault
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import (
    Scope,
    include_exercises,
    is_valid_login,
    normalize_login,
)

COLUMNS: Final = ("login", "role", "duty", "person", "sites", "poles", "realms")
"""Columns of a file; only the first two have to exist."""
NEEDED_COLUMNS: Final = COLUMNS[:2]
MAX_ACCOUNTS: Final = 1000
MAX_TEXT: Final = 64
_TOO_MANY: Final = build_fault(
    "", "length", f"{MAX_ACCOUNTS} comptes au plus par fichier", f"at most {MAX_ACCOUNTS} accounts"
)
_BAD_LOGIN: Final = build_fault(
    "login",
    "login",
    "de 1 à 64 caractères visibles, sans espace autour",
    "1 to 64 visible characters, without spaces around them",
)
_DOUBLE: Final = build_fault(
    "login", "double", "cet identifiant est deux fois dans le fichier", "this login stands twice"
)
_TAKEN: Final = build_fault(
    "login",
    "taken",
    "ce compte existe avec d’autres droits ; un import n’en change aucun",
    "this account exists with other rights; an import changes none",
)
_NO_SITE: Final = build_fault(
    "sites",
    "missing",
    "un responsable de site a besoin d’au moins un site : sans lui, il verrait tout",
    "a site manager needs a site: without one it would see everything",
)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account of a file."""

    login: str
    role: Role
    duty: str | None
    person: str | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class AllowedIds:
    """Ids that an account may name."""

    duties: frozenset[str]
    sites: frozenset[str]
    poles: frozenset[str]
    realms: frozenset[str]


def read_accounts(
    lines: Iterable[str], allowed_ids: AllowedIds, existing: Mapping[str, AccountRow]
) -> tuple[list[AccountRow], int]:
    """Return the accounts to open, and the number of those that are open already.

    `existing`: normalized login → account. Commas or semicolons separate the columns; spaces,
    commas or bars the sites, pôles and realms of a cell. Raises TableInvalid.
    """
    rows = iter(lines)
    titles = next(rows, "")
    reader = csv.DictReader(chain((titles,), rows), delimiter=";" if ";" in titles else ",")
    names = [name for name in reader.fieldnames or () if name]
    if faults := _find_title_faults(names):
        raise TableInvalid(faults)
    accounts: list[AccountRow] = []
    same, faults, logins = 0, [], set[str]()
    for line in reader:
        cells = {n: unescape_formula((line.get(n) or "").strip()).strip() for n in COLUMNS}
        if not any(cells.values()):
            continue
        row_faults = [*_find_row_faults(cells, allowed_ids)]
        login = normalize_login(cells["login"])
        if login in logins:
            row_faults.append(_DOUBLE)
        logins.add(login)
        if not row_faults:
            account = _build_row(cells)
            before = existing.get(login)
            if before is None:
                accounts.append(account)
            elif (before.role, before.duty, before.person, before.scope) == (
                account.role,
                account.duty,
                account.person,
                account.scope,
            ):
                same += 1
            else:
                row_faults.append(_TAKEN)
        faults += [LineFault(reader.line_num, one) for one in row_faults]
    if len(accounts) + same > MAX_ACCOUNTS:
        faults.append(LineFault(1, _TOO_MANY))
    if faults:
        raise TableInvalid(faults)
    return accounts, same


def _find_title_faults(names: Sequence[str]) -> list[LineFault]:
    missing = [name for name in NEEDED_COLUMNS if name not in names]
    if missing:
        columns = ", ".join(missing)
        fault = build_fault(
            "", "missing", f"colonnes absentes : {columns}", f"missing columns: {columns}"
        )
        return [LineFault(1, fault)]
    return []


def _find_row_faults(cells: Mapping[str, str], allowed_ids: AllowedIds) -> Iterable[FieldFault]:
    if not is_valid_login(cells["login"]):
        yield _BAD_LOGIN
    if cells["role"] not in PERSON_ROLES:
        roles = ", ".join(PERSON_ROLES)
        yield build_fault(
            "role", "unknown", f"un de ces rôles est attendu : {roles}", f"expected: {roles}"
        )
    if len(cells["person"]) > MAX_TEXT:
        yield build_fault(
            "person", "length", f"{MAX_TEXT} caractères au plus", f"at most {MAX_TEXT} characters"
        )
    elif cells["person"] and not is_token(cells["person"]):
        yield NO_TOKEN
    groups = (
        ("duty", allowed_ids.duties, [cells["duty"]] if cells["duty"] else []),
        ("sites", allowed_ids.sites, split_ids(cells["sites"])),
        ("poles", allowed_ids.poles, split_ids(cells["poles"])),
        ("realms", allowed_ids.realms, split_ids(cells["realms"])),
    )
    for field, ids, row_ids in groups:
        for id in row_ids:
            if id not in ids:
                yield build_fault(
                    field,
                    "unknown",
                    f"« {id[:40]} » n’existe pas dans les données de référence",
                    f"“{id[:40]}” is not in the reference data",
                )
    if cells["role"] == Role.SITE_MANAGER and not split_ids(cells["sites"]):
        yield _NO_SITE


def split_ids(text: str) -> list[str]:
    """Return the ids of a cell."""
    return [id for id in text.replace(",", " ").replace("|", " ").split() if id]


def _build_row(cells: Mapping[str, str]) -> AccountRow:
    scope = Scope(
        sites=tuple(dict.fromkeys(split_ids(cells["sites"]))),
        poles=tuple(dict.fromkeys(split_ids(cells["poles"]))),
        realms=tuple(dict.fromkeys(split_ids(cells["realms"]))),
    )
    return AccountRow(
        login=cells["login"],
        role=Role(cells["role"]),
        duty=cells["duty"] or None,
        person=cells["person"] or None,
        scope=include_exercises(scope),
    )
