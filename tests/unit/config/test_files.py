"""A file that syncd writes to is for nothing else, whatever leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from syncd.config import load
from syncd.config.loader import candidate
from syncd.errors import ConfigError


def written(folder: Path, **more: Any) -> Path:
    config: dict[str, Any] = {
        "owner": "me",
        "state": {"path": "state.db"},
        "sources": {
            "vault": {
                "type": "vault",
                "address": "https://vault.example",
                "ca_file": "ca.pem",
                "auth": {"method": "token", "token": {"file": "vault-token"}},
            }
        },
        "targets": {
            "shop": {"type": "wix", "auth": {"method": "api_key", "site_id": "a", "api_key": {"file": "wix-key"}}}
        },
        "jobs": {"pay": {"source": "vault", "targets": ["shop"], "secrets": [{"path": "kv/app"}]}},
        "server": {"listen": "127.0.0.1:0", "token": {"file": "page-token"}},
    }
    for name in ("ca.pem", "vault-token", "wix-key", "page-token", "state.db", "state.db.key"):
        (folder / name).write_text("x")
    file = folder / "syncd.yaml"
    file.write_text(yaml.safe_dump({**config, **more}))
    return file


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"audit": {"file": "state.db"}}, "audit.file: syncd would write into the file of state.path;"),
        ({"audit": {"file": "./sub/../state.db-wal"}}, "audit.file: syncd would write into the file of state.path;"),
        ({"audit": {"file": "state.db.key"}}, "audit.file: syncd would write into the file of state.path;"),
        ({"audit": {"file": "syncd.yaml"}}, "audit.file: syncd would write into the file of the configuration itself;"),
        ({"audit": {"file": "linked"}}, "into the file of targets.shop.auth.api_key.file;"),
        ({"audit": {"file": "second-name"}}, "into the file of sources.vault.auth.token.file;"),
        ({"audit": {"file": "ca.pem"}}, "into the file of sources.vault.ca_file;"),
        ({"state": {"path": "page-token"}}, "state.path: syncd would write into the file of server.token.file;"),
        ({"state": {"path": "syncd.yaml"}}, "state.path: syncd would write into the file of the configuration itself;"),
        (
            {"state": {"path": "a", "fingerprint_key": {"file": "a-wal"}}},
            "state.path: syncd would write into the file of state.fingerprint_key.file;",
        ),
    ],
)
def test_a_file_with_two_roles_is_refused_before_anything_is_written(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    file = written(tmp_path, **more)
    (tmp_path / "sub").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "wix-key")
    (tmp_path / "second-name").hardlink_to(tmp_path / "vault-token")
    with pytest.raises(ConfigError) as refused:
        load(file)
    (problem,) = refused.value.problems
    assert said in problem
    assert problem.startswith(f"{file}:")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"audit": {"file": "audit.jsonl"}},
        {"state": {"path": "a", "fingerprint_key": {"file": "a.hex"}}},
        {"state": {"path": "state.db", "fingerprint_key": {"file": "state.db.key"}}},
    ],
)
def test_files_of_their_own_are_taken(tmp_path: Path, more: dict[str, Any]) -> None:
    assert load(written(tmp_path, **more)).owner == "me"


def test_a_candidate_is_judged_by_its_text_alone(tmp_path: Path) -> None:
    """Whoever may send one learns nothing of which path of the daemon's machine leads where."""
    file = written(tmp_path, audit={"file": "linked"})
    (tmp_path / "linked").symlink_to(tmp_path / "state.db")
    assert candidate(file.read_text(), file).audit.file
    file = written(tmp_path, audit={"file": "state.db"})
    with pytest.raises(ConfigError):
        candidate(file.read_text(), file)
