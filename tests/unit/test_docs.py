"""README, examples and help say what is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml
from pydantic import TypeAdapter

from syncd import __version__, errors
from syncd.cli.app import app
from syncd.config import load
from syncd.domain import STATUSES
from syncd.domain.audit_events import EVENTS
from syncd.ledger.schema import metadata
from tests.support.reference import MADE, SECTIONS, written

README = Path("README.md").read_text()
PAGES = {
    path: path.read_text() for path in (Path("README.md"), Path("SECURITY.md"), *sorted(Path("docs").rglob("*.md")))
}
COMMAND: Any = typer.main.get_command(app)


def fenced(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_first_configuration_loads(tmp_path: Path) -> None:
    path = tmp_path / "syncd.yaml"
    path.write_text(fenced("yaml")[0])
    assert load(path).owner == "platform-team"


def test_every_command_is_in_the_readme() -> None:
    for name in COMMAND.commands:
        assert f"`syncd {name}" in README, name
    for name in COMMAND.commands["state"].commands:
        assert re.search(rf"\b{name}\b", README), name


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_option_in_the_pages_exists(page: Path) -> None:
    known = {"--help"}

    def gather(command: Any) -> None:
        known.update(option for parameter in command.params for option in parameter.opts)
        for inner in getattr(command, "commands", {}).values():
            gather(inner)

    gather(COMMAND)
    ours = re.sub(
        r"^ *(kubectl|helm|make|curl|vault|docker|sqlite3|pip|oauth2-proxy)\b.*$", "", PAGES[page], flags=re.MULTILINE
    )
    ours = re.sub(r"`(kubectl|helm|make|curl|vault|docker|sqlite3|pip|oauth2-proxy) [^`]*`", "", ours)
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)):
        assert option in known, option


def test_exit_codes_and_statuses_are_told() -> None:
    table = README.split("### Exit codes")[1].split("### Statuses")[0]
    codes = {
        cls.exit_code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.SyncdError)
    }
    for code in codes:
        assert re.search(rf"^\| {code}[ ,]", table, re.MULTILINE), code
    for status in STATUSES:
        assert f"`{status}`" in README, status


def test_every_target_of_the_makefile_is_told() -> None:
    text = Path("Makefile").read_text()
    assert all(f"{name}: setup" in text for name in ("demo", "test", "check"))
    for name in re.findall(r"`make ([a-z-]+)`", "".join(PAGES.values())):
        assert re.search(rf"^{name}:", text, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGES[page]):
        assert (page.parent / link).exists(), link


def test_every_table_says_how_it_grows_old() -> None:
    section = (
        PAGES[Path("docs/architecture.md")].partition("## What is remembered of the world")[2].partition("\n## ")[0]
    )
    first_cells = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    named = re.findall(r"`([a-z_]+)`", first_cells)
    tables = [table.name.removeprefix("syncd_") for table in metadata.sorted_tables]
    assert sorted(named) == sorted(tables)


def test_every_file_that_the_architecture_names_is_there() -> None:
    page = PAGES[Path("docs/architecture.md")]
    roots = [Path(), Path("syncd"), Path("tests"), Path("syncd/reconcile/plan")]
    for name in set(re.findall(r"`([\w/-]+/|[\w/-]+\.(?:py|txt|md))`", page)) - {"sources/NAME/"}:
        assert any((root / name).exists() for root in roots), name


def test_the_readme_is_a_page() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", MADE, ids=str)
def test_what_is_made_of_the_docs_is_of_today(page: Path) -> None:
    assert page.read_text() == written(page), "run: make docs"


@pytest.mark.parametrize(("title", "model"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_every_key_is_described_with_an_example(title: str, model: Any) -> None:
    for name, field in model.model_fields.items():
        assert field.description and field.description[0].isupper(), f"{title}: {name}"
        assert field.examples or name in {"sources", "targets", "jobs"}, f"{title}: {name}"


EXAMPLES = [
    pytest.param(field.annotation, field.metadata, example, id=f"{title}: {name}")
    for title, model in SECTIONS
    for name, field in model.model_fields.items()
    for example in field.examples or []
]


@pytest.mark.parametrize(("annotation", "metadata", "example"), EXAMPLES)
def test_every_example_is_valid(annotation: Any, metadata: Any, example: Any) -> None:
    kind = Annotated[annotation, *metadata] if metadata else annotation
    TypeAdapter(kind).validate_python(example)


def test_the_version_is_one() -> None:
    assert f"## {__version__}" in Path("CHANGELOG.md").read_text()
    assert f'version = "{__version__}"' in Path("pyproject.toml").read_text()
    assert f"syncd:{__version__}" in Path("deploy/manifests/daemon/deployment.yaml").read_text()
    assert f"ARG VERSION={__version__}" in Path("deploy/Dockerfile").read_text()


def test_no_index_address_anywhere() -> None:
    locks = [*Path().glob("*.lock"), *Path("tests").rglob("*.lock"), *Path("deploy").rglob("*.lock")]
    for path in (*locks, Path("Makefile"), Path("deploy/Dockerfile"), Path("pyproject.toml")):
        assert not re.search(r"https?://[^\s\"']*(simple|pypi|npmjs|wheels)", path.read_text()), path


def test_the_deployment_is_of_this_version(tmp_path: Path) -> None:
    """All else of the chart is seen by `make deploy-test`."""
    chart = yaml.safe_load(Path("deploy/chart/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    for mode in ("daemon", "cronjob"):
        path = tmp_path / f"{mode}.yaml"
        path.write_text(
            yaml.safe_load(Path(f"deploy/manifests/{mode}/configmap.yaml").read_text())["data"]["syncd.yaml"]
        )
        assert load(path).state.path == "/var/lib/syncd/state.db"


@pytest.mark.parametrize("name", sorted(COMMAND.commands))
def test_every_command_explains_itself(name: str) -> None:
    command = COMMAND.commands[name]
    assert command.help or hasattr(command, "commands")


def test_every_event_of_the_audit_trail_is_told() -> None:
    table = Path("docs/audit.md").read_text().partition("| event | when |")[2].partition("\n\n")[0]
    first_cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    told = {event for cell in first_cells for event in re.findall(r"`([a-z]+\.[a-z_]+)`", cell)}
    assert told == set(EVENTS)
    source = "".join(path.read_text() for path in Path("syncd").rglob("*.py"))
    written = set(re.findall(r'(?:event=|Entry\(|entry_about\(|event = )"([a-z]+\.[a-z_]+)"', source))
    assert written <= set(EVENTS), written - set(EVENTS)
