import ast
from typing import Annotated, Final

import pytest
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from services.runtime.http.problems import (
    CATALOGUE,
    SCOPE_SUBJECTS,
    Problem,
    ProblemError,
    declare_problem,
    describe_size,
    list_faults,
)
from services.runtime.http.request_headers import choose_language
from services.runtime.process.settings import REPOSITORY

SCOPE_CHECKS: Final = ("check_sites", "check_sites_of", "check_pole", "check_whole_territory")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "fr"),
        ("", "fr"),
        ("en", "en"),
        ("de", "fr"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("fr;q=0.1,en;q=0.5", "en"),
        ("en;q=x", "fr"),
        ("en;q=0", "fr"),
        ("de, fr;q=0.5, en;q=0.4", "fr"),
        ("fr;q=0.1, en;level=1;q=0.5", "en"),
    ],
)
def test_french_unless_english_is_preferred(header: str | None, language: str) -> None:
    assert choose_language(header) == language


class Body(BaseModel):
    severity: int = Field(ge=1, le=5)
    note: str = Field(max_length=3)


def test_a_fault_names_its_field_in_both_languages_without_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"severity": 9, "note": "secret"})
    problem = Problem("invalid", faults=list_faults(caught.value))
    french, english = problem.document("fr", "/x"), problem.document("en", "/x")
    assert french["errors"][0] == {
        "field": "severity",
        "code": "less_than_equal",
        "detail": "doit être au plus 5",
    }
    assert "less than or equal to 5" in english["errors"][0]["detail"]
    assert french["detail"].endswith("severity: doit être au plus 5")
    assert b"secret" not in problem.body("fr") + problem.body("en")


@pytest.mark.parametrize(
    ("limit", "text", "sentence"),
    [
        (StringConstraints(max_length=4000), "é" * 4001, "4\u202f000 caractères au plus"),
        (StringConstraints(max_length=1), "éé", "1 caractère au plus"),
        (StringConstraints(min_length=2), "é", "2 caractères au moins"),
    ],
)
def test_a_wrong_length_is_explained_in_plain_french(
    limit: StringConstraints, text: str, sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[str](Annotated[str, limit]).validate_python(text)
    (fault,) = list_faults(caught.value)
    assert fault.message["fr"] == sentence


def test_every_code_has_its_sentences_in_both_languages() -> None:
    for code, kind in CATALOGUE.items():
        assert 400 <= kind.status < 600, code
        assert set(kind.title) == set(kind.detail) == {"fr", "en"}


def test_a_code_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        declare_problem("not_found", 404, {"fr": "", "en": ""}, {"fr": "", "en": ""})


def test_the_error_is_readable_in_a_traceback() -> None:
    assert (
        str(ProblemError("body_too_large", limit=describe_size(10)))
        == "body_too_large: The body is larger than 10 bytes."
    )


def test_a_refusal_by_scope_names_its_subject_in_words() -> None:
    """The French sentence ended with «(pole)»."""
    problem = Problem("out_of_scope", {"field": "pole"})
    assert problem.sentence("fr") == "Ce pôle est hors du périmètre de votre compte."
    assert problem.sentence("en") == "This pôle is outside the scope of this account (pole)."


def test_every_field_that_exceeds_a_scope_has_its_words() -> None:
    calls = [
        call
        for path in (REPOSITORY / "services").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
    ]
    problem_fields = {
        str(keyword.value.value)
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "field" and isinstance(keyword.value, ast.Constant)
        if any(isinstance(one, ast.Constant) and one.value == "out_of_scope" for one in call.args)
    }
    checked = {
        str(call.args[-1].value)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in SCOPE_CHECKS
        if isinstance(call.args[-1], ast.Constant)
    }
    defaults = {"territory", "sites", "pole", "area", "commune", "zone"}
    assert {"realm", "site_id"} <= problem_fields
    assert {"assignee", "stock"} <= checked
    assert problem_fields | checked | defaults == SCOPE_SUBJECTS.keys()
