"""`syncd init`: a commented configuration to start from, after a few questions or from flags."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.check import check
from syncd.cli.first_configuration import AUTHS, EXAMPLES, NEEDED, composed
from syncd.cli.output import show, warn
from syncd.errors import ConfigError
from syncd.transport.fault_words import in_words

QUESTIONS = {
    "--owner": "Who is this installation, at Wix?",
    "--source": "Where are the secrets: vault, aws or both?",
    "--address": "Vault's address?",
    "--path": "Which secrets? In Vault the mount, then a pattern",
    "--region": "Which region of AWS?",
    "--aws-path": "Which secrets of AWS? A pattern over names",
    "--site-id": "The id of the Wix site? It is in the address of its dashboard",
}


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
    given = {"--owner": owner, "--source": source, "--address": address, "--path": path, "--region": region}
    given |= {"--aws-path": aws_path, "--site-id": site_id}
    if source is not None:
        _see_answer("--source", source, EXAMPLES)  # before anybody is asked for what it needs
    _see_that_nothing_is_missing(given)
    if auth not in AUTHS:
        raise ConfigError(f"--auth {auth} is not known", hint=f"one of {', '.join(AUTHS)}")
    answers = dict(EXAMPLES) | {"--state": state, "--auth": auth}
    for option, question in QUESTIONS.items():
        if option == "--source" or option in NEEDED[answers["--source"]]:
            answers[option] = _answer(given[option], option, question, answers)
    text = composed(answers)
    see_text(text, file)  # what cannot work is not written
    _write(file, text)
    show(f"written: {file}")
    return check(context)


def _see_that_nothing_is_missing(given: Mapping[str, str | None]) -> None:
    """Where nobody can be asked, name every option that is missing at once. Raises `ConfigError`."""
    if _can_be_asked():
        return
    missing = [option for option in NEEDED[(given["--source"] or "vault").strip()] if given[option] is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(
            f"{', '.join(missing)} {verb} needed where nobody can be asked", hint="see: syncd init --help"
        )


def _can_be_asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _answer(value: str | None, option: str, question: str, answers: Mapping[str, str]) -> str:
    """The option's value, asked for until it fits. Raises `ConfigError` for an option that does not."""
    if value is not None:
        try:
            _see_answer(option, value, answers)
        except ConfigError as error:
            # No file was written, so it is named by what was given and not by a line.
            hint = f"for example {option} {EXAMPLES[option]}" if error.problems else error.hint
            raise ConfigError(f"{option} does not fit: {_reason(error)}", hint=hint) from None
        return value.strip()
    offered = None if option == "--site-id" else "prod/shop/*" if _is_of_aws(option, answers) else EXAMPLES[option]
    from syncd.config.slips import SITE_ID

    doubted = None
    while True:
        value = str(typer.prompt(question, default=offered, err=True))
        try:
            _see_answer(option, value, answers)
        # What was answered before is not lost over one slip.
        except ConfigError as error:
            warn(f"  that does not fit: {_reason(error)}")
            continue
        if option == "--site-id" and not SITE_ID.fullmatch(value.strip()) and value != doubted:
            warn("  no id as Wix gives them: 8-4-4-4-12 hex digits, a GUID; give it once more to keep it")
            doubted = value
            continue
        return value.strip()


def _reason(error: ConfigError) -> str:
    return "; ".join(problem.split(": ", 2)[-1] for problem in error.problems) or error.message


def _is_of_aws(option: str, answers: Mapping[str, str]) -> bool:
    return option == "--path" and answers["--source"] == "aws"


def _see_answer(option: str, value: str, answers: Mapping[str, str]) -> None:
    """Raise `ConfigError` if no valid configuration can be made with this value of an option.

    All other options are as answered so far, or as in the examples.
    """
    from syncd.config.loader import see_text

    hint = f"for example {option} {EXAMPLES[option]}"
    # The text goes into YAML as it is: these characters would end the value, or begin a mapping or a comment.
    if not value.strip() or not value.isprintable() or any(char in value for char in "{}#\"'"):
        raise ConfigError(f"{option} holds what cannot stand there", hint=hint)
    if option == "--source":
        if value.strip() not in NEEDED:
            raise ConfigError(f"--source {value} is not known", hint=f"one of {', '.join(NEEDED)}")
        return
    if option == "--site-id" and not value.strip("0- "):
        raise ConfigError("--site-id is no site's: it is all zeros", hint="it is in the address of its dashboard")
    see_text(composed({**answers, option: value.strip()}), Path("syncd.yaml"))


def _write(file: Path, text: str) -> None:
    try:
        # Exclusively: a file that came since it was looked for is somebody's, too, and is not written over.
        with file.open("x") as handle:
            handle.write(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written ({in_words(error)})", hint="see its folder") from None
