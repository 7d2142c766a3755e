"""Templates over the fields of one secret: pure, total, and never a guess for what is missing."""

from __future__ import annotations

import pytest

from syncd.domain import version_label
from syncd.domain.value_templates import TemplateError, filled, parsed, versioned
from syncd.domain.values import as_text
from syncd.errors import BadValue

FIELDS = {"user": "app", "password": "p@ss/w:rd#1 ü", "port": 5432, "tls": True, "empty": "", "none": None, "a b": "x"}


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{user}", "app"),
        ("postgres://{user}:{password|url}@h:{port}/d?tls={tls}", "postgres://app:p%40ss%2Fw%3Ard%231%20%C3%BC@h:5432/d?tls=true"),
        ('{{"password": {password|json}}}', '{"password": "p@ss/w:rd#1 ü"}'),
        ("Basic {user|base64}", "Basic YXBw"),
        ("{password|base64|url}", "cEBzcy93OnJkIzEgw7w%3D"),
        ("{user}{user}", "appapp"),
        ("[{empty}]", "[]"),
        ("{a b}", "x"),
        ("{{{user}}}", "{app}"),
    ],
)  # fmt: skip
def test_what_a_template_makes(template: str, made: str) -> None:
    assert filled(template, FIELDS, as_text) == made


@pytest.mark.parametrize("field", ["missing", "none", "User", "user ", "user.x", "0"])
def test_what_is_missing_is_named(field: str) -> None:
    with pytest.raises(BadValue, match=f"field {field.strip()}") as caught:
        filled("{user}:{" + field + "}", FIELDS, as_text)
    assert "p@ss" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "template",
    ["", "constant", "{}", "{user", "user}", "{user|upper}", "{|url}", "{user|}", "{{user}}", "{user|url|x}", "{a{b}}"],
)
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(TemplateError):
        parsed(template)


def test_lone_surrogates_fail_by_name() -> None:
    for name in ("url", "base64"):
        with pytest.raises(BadValue, match="field f"):
            filled("{f|" + name + "}", {"f": "\ud800"}, as_text)


def test_another_template_is_another_version() -> None:
    first, second = versioned("kv2:3@2026", "{a}"), versioned("kv2:3@2026", "{b}")
    assert first != second and versioned("kv2:3@2026", "") == "kv2:3@2026"
    assert (
        version_label(first) == version_label(second) == "3" and version_label(versioned("aws:id-1", "{a}")) == "id-1"
    )
    assert version_label(versioned("kv1:fingerprint", "{a}")) == ""
