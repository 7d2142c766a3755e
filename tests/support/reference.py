"""The parts of the docs that are made: the configuration from its models, metrics and events from the code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from syncd.config import audit, governance, jobs, notify, server, settings, sources, targets
from syncd.config.fields import Credential, format_duration
from tests.support import names
from tests.support.golden import events

PAGE = Path("docs/configuration.md")
BEGIN = "<!-- made by `make docs` from the models: do not edit below -->"
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", settings.Settings),
    ("`state`", settings.State),
    ("`server`", settings.Server),
    ("`server.tokens[N]`", server.NamedToken),
    ("`server.proxy`", server.ProxyUsers),
    ("`audit`", audit.Audit),
    ("`notify[N]`", notify.Notify),
    ("`rules[N]`", governance.GovernanceRuleSettings),
    ("`rules[N].except[N]`", governance.Exempted),
    ("`sources.NAME`, Vault", sources.VaultSettings),
    ("`auth` of Vault: token", sources.TokenAuth),
    ("`auth` of Vault: approle", sources.AppRoleAuth),
    ("`auth` of Vault: kubernetes", sources.KubernetesAuth),
    ("`auth` of Vault: jwt", sources.JwtAuth),
    ("`auth` of Vault: userpass", sources.UserpassAuth),
    ("`auth` of Vault: cert", sources.CertAuth),
    ("`auth` of Vault: aws_iam", sources.AwsIamAuth),
    ("`sources.NAME`, AWS", sources.AwsSettings),
    ("`events` of AWS", sources.AwsEvents),
    ("`targets.NAME`", targets.WixSettings),
    ("`auth` of Wix: api_key", targets.ApiKeyAuth),
    ("`auth` of Wix: app", targets.AppAuth),
    ("`jobs.NAME`", jobs.JobSettings),
    ("`schedule`", jobs.Schedule),
    ("`secrets[N]`", jobs.SecretRule),
    ("`guard`", jobs.Guard),
    ("`windows`", jobs.WindowSettings),
    ("A credential", Credential),
)


def reference() -> str:
    """Every section with a row for each of its keys."""
    return "\n".join(line for title, model in SECTIONS for line in _section(title, model)) + "\n"


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"\n## {title}\n"
    yield f"{(model.__doc__ or '').splitlines()[0]}\n"
    yield "| key | what it is | default | for example |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        example = ", ".join(f"`{_yaml(one)}`" for one in field.examples or []) or "see below"
        yield f"| `{field.alias or name}` | {_cell(field.description or '')}{_choices(field)} | {_default(field)} | {_cell(example)} |"


def _choices(field: FieldInfo) -> str:
    found = [one for one in (field.annotation, *get_args(field.annotation)) if get_origin(one) is Literal]
    values = [value for one in found for value in get_args(one) if value]
    return f" ({', '.join(f'`{value}`' for value in values)})" if len(values) > 1 else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value == "" or value in ([], {}):
        return "none"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """A value as it is written in the file, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    # What YAML reads otherwise without quotes is written with them.
    return value if isinstance(value, str) and is_plain(value) else json.dumps(value)


def is_plain(text: str) -> bool:
    """Does YAML read the text as it is, also within a list and as a key?"""
    try:
        return bool(
            yaml.load(f"{{k: [{text}]}}", yaml.BaseLoader) == {"k": [text]}
            and yaml.load(f"{{{text}: v}}", yaml.BaseLoader) == {text: "v"}
        )
    except yaml.YAMLError:
        return False


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def observed() -> str:
    """Every metric, and every event of the log."""
    lines = ["\n## Metrics\n", "| metric | labels | what it is |", "| --- | --- | --- |"]
    for name, labels, text in sorted(names.metric_rows()):
        lines.append(f"| `{name}` | {', '.join(f'`{label}`' for label in labels) or 'none'} | {_cell(text)} |")
    kinds = groupby(sorted(events()), key=lambda name: name.partition(".")[0])
    lines += ["\n## Log events\n", *("- " + ", ".join(f"`{name}`" for name in group) for _, group in kinds)]
    return "\n".join(lines) + "\n"


MADE = {PAGE: reference, Path("docs/observability.md"): observed}
"""The pages with a part that is made, and what makes it."""


def written(page: Path) -> str:
    """The page with that part made anew."""
    return page.read_text().split(BEGIN)[0] + BEGIN + "\n" + MADE[page]()


if __name__ == "__main__":
    for each in MADE:
        each.write_text(written(each))
