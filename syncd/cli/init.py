"""`syncd init`: a commented configuration to start from, after a few questions or from flags."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.check import check
from syncd.cli.output import show
from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words

HEAD = """\
# What syncd keeps true at Wix. Check it with: syncd check; see what it would do: syncd plan.
# Every key is explained in docs/configuration.md; `syncd schema` is for your editor.

# Who this installation is, at Wix: part of the mark in each secret's description. Keep it.
owner: {owner}

state:
  path: {state}          # the ledger of ids; SQLite, made by the first sync
"""
SOURCES = "\nsources:\n"
VAULT = """\
  vault:
    type: vault                        # HashiCorp Vault or OpenBao
    address: {address}
{auth}"""
AUTHS = {
    "token": "    auth: {method: token, token: {env: VAULT_TOKEN}}\n",
    "kubernetes": "    auth: {method: kubernetes, role: syncd}   # the pod's service account\n",
    "approle": (
        "    auth:\n"
        "      method: approle\n"
        "      role_id: {env: VAULT_ROLE_ID}\n"
        "      secret_id: {file: /run/secrets/vault/secret-id}   # read again at each use\n"
    ),
}
AWS = """\
  aws:
    type: aws_secrets_manager          # the standard AWS credential chain
    region: {region}
    # assume_role: arn:aws:iam::123456789012:role/syncd-reader
"""
TAIL = """\

targets:
  site:
    type: wix
    auth: {{method: api_key, site_id: {site_id}, api_key: {{env: WIX_API_KEY}}}}

jobs:
"""
JOB = """\
  from-{source}:
    source: {source}
    targets: [site]
    schedule: {{every: 5m}}              # for `syncd run`; `syncd sync` runs it at once
    secrets:
      - path: {path}
        name: "{name}"
"""
DELETION = """\
    # Deletion is off. With it, what is gone at the source goes at Wix after a day of observed absence:
    # deletion_policy: delete
    # deletion_grace: 24h
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(init)


def init(
    context: typer.Context,
    *,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Who this installation is, such as platform-team.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="vault, aws or both.")] = None,
    address: Annotated[str | None, typer.Option("--address", help="Vault: https://HOST:PORT.")] = None,
    auth: Annotated[str, typer.Option("--auth", help="Vault: token, kubernetes or approle.")] = "token",
    region: Annotated[str | None, typer.Option("--region", help="AWS: such as eu-west-1.")] = None,
    path: Annotated[
        str | None, typer.Option("--path", help="Which secrets, such as secret/shop/**; of Vault with both.")
    ] = None,
    aws_path: Annotated[str | None, typer.Option("--aws-path", help="With both: which secrets of AWS.")] = None,
    site_id: Annotated[str | None, typer.Option("--site-id", help="The Wix site.")] = None,
    state: Annotated[str, typer.Option("--state", help="Where the ledger goes.")] = "./state.db",
) -> int:
    """Write a commented configuration to start from, and check it. On a terminal it asks for what was not given."""
    from syncd.config.loader import see_text

    file: Path = context.obj.config
    if file.exists():
        raise ConfigError(f"{file} is there already", hint="name another one: syncd --config FILE init")
    flags = {"--owner": owner, "--source": source, "--site-id": site_id, "--address": address, "--path": path}
    _see_that_nothing_is_missing({**flags, "--region": region, "--aws-path": aws_path})
    owner = _given(owner, "--owner", "Who is this installation, at Wix?", "platform-team")
    source = _given(source, "--source", "Where are the secrets: vault, aws or both?", "vault")
    for option, given, known in (("--source", source, ("vault", "aws", "both")), ("--auth", auth, tuple(AUTHS))):
        if given not in known:
            raise ConfigError(f"{option} {given} is not known", hint=f"one of {', '.join(known)}")
    text, jobs = HEAD.format(owner=owner, state=state) + SOURCES, ""
    if source != "aws":
        address = _given(address, "--address", "Vault's address?", "https://vault.example.com:8200")
        path = _given(path, "--path", "Which secrets of Vault? The mount, then a pattern", "secret/shop/**")
        text += VAULT.format(address=address, auth=AUTHS[auth])
        jobs += JOB.format(source="vault", path=path, name="{path}_{field}")
    if source != "vault":
        region = _given(region, "--region", "Which region?", "eu-west-1")
        chosen, option = (path, "--path") if source == "aws" else (aws_path, "--aws-path")
        chosen = _given(chosen, option, "Which secrets of AWS? A pattern over names", "prod/shop/*")
        text += AWS.format(region=region)
        jobs += JOB.format(source="aws", path=chosen, name="{path}")
    site_id = _given(site_id, "--site-id", "The id of the Wix site?", "00000000-0000-0000-0000-000000000000")
    text += TAIL.format(site_id=site_id) + jobs + DELETION
    see_text(text, file)  # what cannot work is not written
    _write(file, text)
    show(f"written: {file}")
    return check(context)


NEEDED = {
    "aws": ("--owner", "--source", "--region", "--path", "--site-id"),
    "vault": ("--owner", "--source", "--address", "--path", "--site-id"),
    "both": ("--owner", "--source", "--address", "--path", "--region", "--aws-path", "--site-id"),
}
"""What has to be said, by source."""


def _see_that_nothing_is_missing(given: Mapping[str, str | None]) -> None:
    """Where nobody can be asked, name every option that is missing at once. Raises `ConfigError`."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        return
    # An unknown source needs nothing here: it is refused by its own name further down.
    missing = [option for option in NEEDED.get(given["--source"] or "vault", ()) if given[option] is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(
            f"{', '.join(missing)} {verb} needed where nobody can be asked", hint="see: syncd init --help"
        )


def _given(value: str | None, option: str, question: str, default: str, ask: Callable[..., str] = typer.prompt) -> str:
    """The option's value, asked for on a terminal. Raises `ConfigError` for none, or one that breaks the file."""
    if value is None and sys.stdin.isatty() and sys.stderr.isatty():
        value = ask(question, default=default, err=True)
    if value is None:
        raise ConfigError(f"{option} is needed where nobody can be asked", hint=f"for example {option} {default}")
    # The text goes into YAML as it is: these characters would end the value, or begin a mapping or a comment.
    if not value.isprintable() or any(char in value for char in "{}#\"'"):
        raise ConfigError(f"{option} holds what cannot stand there", hint=f"for example {option} {default}")
    return value.strip()


def _write(file: Path, text: str) -> None:
    try:
        # Exclusively: a file that came since it was looked for is somebody's, too, and is not written over.
        with file.open("x") as handle:
            handle.write(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written ({in_words(error)})", hint="see its folder") from None
