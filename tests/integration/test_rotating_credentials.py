"""What rotates is read again: AWS's credentials file, assumed roles; each service has an endpoint of its own."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.bootstrap.app import App
from syncd.config import load
from syncd.reconcile.run_job import Run, sync_job
from syncd.sandbox.wix_site import Site
from tests.lab import Bao, Lab
from tests.support.http_stub import answering

LISTED = {"SecretList": [{"Name": "m/a", "SecretVersionsToStages": {"v1": ["AWSCURRENT"]}}]}
VALUES = {"SecretValues": [{"Name": "m/a", "VersionId": "v1", "SecretString": "x"}]}
JSON = "application/x-amz-json-1.1"


class Aws:
    """Knows one access key at a time, and refuses the others with a code."""

    def __init__(self, code: str) -> None:
        self.key, self.code, self.refused = "AKIAFIRST", code, 0

    def __call__(self, _method: str, _path: str, body: bytes, headers: Any) -> tuple[int, bytes, str]:
        given = re.search(r"Credential=([A-Za-z0-9]+)/", headers["Authorization"])
        if given is None or given[1] != self.key:
            self.refused += 1
            return 400, json.dumps({"__type": self.code, "message": "planted"}).encode(), JSON
        return 200, json.dumps(LISTED if "MaxResults" in json.loads(body) else VALUES).encode(), JSON


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    written(file, "AKIAFIRST")
    return file


def written(file: Path, key: str) -> None:
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = lab-generated-{key}\n")


@pytest.mark.sweep
@pytest.mark.parametrize(
    "code",
    ["ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"],
)  # fmt: skip
def test_a_rotated_credentials_file_is_read_again_by_a_process_that_runs(
    lab: Lab, credentials: Path, code: str
) -> None:
    server = Aws(code)
    with answering(server, with_headers=True) as (url, _):
        lab.aws(url)
        lab.job("job", "aws", {"path": "m/*"})
        with App(load(lab.config_file)) as app:

            def cycle() -> Any:
                (report,) = sync_job(app.runtime, app.runtime.jobs["job"], Run(holder="t", wait=timedelta(0)))
                return report

            assert cycle().exit_code == 0
            for number in ("SECOND", "THIRD"):
                server.key = f"AKIA{number}"
                written(credentials, server.key)
                assert cycle().exit_code == 0, "no restart is needed"
            server.key, server.refused = "AKIAELSE", 0
            assert cycle().exit_code == 4 and cycle().exit_code == 4
            assert server.refused <= 6, "the same credentials are not tried over and over"


def test_one_endpoint_a_service(lab: Lab, credentials: Path, aws_url: str, aws: Any) -> None:
    aws.create_secret(Name="e/a", SecretString="1")
    lab.aws(aws_url)
    source = lab.config["sources"]["aws"]
    source |= {"assume_role": "arn:aws:iam::123456789012:role/reader", "external_id": "corp-42"}
    lab.job("job", "aws", {"path": "e/*"})
    asked: list[str] = []

    def sts(_method: str, _path: str, body: bytes) -> tuple[int, bytes, str]:
        asked.append(body.decode())
        return 403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", "text/xml"

    with answering(sts) as (url, _):
        source["sts_endpoint_url"] = url
        done = lab.run("sync")
    assert done.code == 4 and asked and all("ExternalId=corp-42" in body for body in asked)
    source["sts_endpoint_url"] = aws_url
    assert lab.run("check").code == 0
    done = lab.run("sync")
    assert done.code == 4 or lab.site.values() == {"a": "1"}  # moto: the role's own account has other secrets
    assert "AccessDenied" not in done.out


def test_the_sdks_own_variables_hold(lab: Lab, aws: Any, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.create_secret(Name="e/a", SecretString="1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws_url)
    lab.aws(aws_url)
    del lab.config["sources"]["aws"]["endpoint_url"]
    lab.job("job", "aws", {"path": "e/*"})
    assert lab.run("sync").code == 0 and lab.site.values() == {"a": "1"}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_key_that_is_empty_for_a_moment_costs_no_answer_that_came(
    lab: Lab, bao: Bao, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some agents cut a file before they write it anew, while a hundred requests are on their way."""
    lab.vault(bao)
    names = [f"f{number}" for number in range(60)]
    lab.job("job", "vault", {"path": f"{bao.mount}/app", "name": "{field}"})
    if method == "PATCH":
        bao.put("app", **dict.fromkeys(names, "0"))
        assert lab.run("sync").code == 0
    bao.put("app", **dict.fromkeys(names, "1"))
    key = lab.folder / "wix-key"
    text, taken, create, update = key.read_text(), [0], Site.create, Site.update

    def counted(do: Any) -> Any:
        def done(self: Site, *given: Any) -> Any:
            taken[0] += 1
            if taken[0] == 20:
                key.write_text("")
            return do(self, *given)

        return done

    monkeypatch.setattr(Site, "create", counted(create))
    monkeypatch.setattr(Site, "update", counted(update))
    result = lab.run("sync")
    monkeypatch.undo()
    key.write_text(text)
    assert result.code == 5 and "empty" in result.out + result.err, result.out + result.err
    at_site = {name for name, value in lab.site.values().items() if value == "1"}
    assert 20 <= len(at_site) < 60
    in_doubt = {
        row["name"] for row in lab.run("state", "list", "--json").json if row["status"] in {"pending", "unverified"}
    }
    assert not in_doubt, "each answer that came was kept, and what was not sent is not in doubt"
    assert lab.run("audit", "verify").code == 0
    assert lab.run("sync").code == 0
    assert set(lab.site.values().values()) == {"1"} and lab.wix.count(method) == 60
