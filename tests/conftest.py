"""The real parts, started once a worker: OpenBao, moto; an emulated Wix for each test."""

from __future__ import annotations

import gc
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, settings

from syncd.sandbox.launchers import OpenBao, moto, openbao
from syncd.sandbox.wix_server import Wix, serving
from tests.lab import Bao, Lab
from tests.support.postgres import postgres_server

settings.register_profile("syncd", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.load_profile("syncd")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long by what it repeats.

    Of a sweep, which tries one thing on many instances, all but the first; of a kind, all but one in four, and of one
    test of a kind all that come after its first eight instances.
    """
    begun: Counter[str] = Counter()
    for item in items:
        function, module = item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]
        if item.get_closest_marker("sweep") and begun[function]:
            item.add_marker("long")
        elif item.get_closest_marker("kind") and (begun[module] % 4 or begun[function] >= 8):
            item.add_marker("long")
        begun.update({function, module})


def pytest_collection_finish() -> None:
    """Look through what the tests leave behind, and not each time through all that was imported for them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def bao_server() -> Iterator[OpenBao]:
    with openbao() as server:
        yield server


@pytest.fixture
def bao(bao_server: OpenBao) -> Iterator[Bao]:
    """A KV v2 mount that no other test has."""
    mount = f"kv-{uuid.uuid4().hex[:8]}"
    one = Bao(bao_server, mount, bao_server.token)
    one.enable()
    yield one
    one.root.sys.disable_secrets_engine(mount)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except LookupError as error:
            pytest.skip(str(error))
        yield url


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def aws(aws_url: str) -> Any:
    client = boto3.client(
        "secretsmanager",
        region_name="eu-west-1",
        endpoint_url=aws_url,
        aws_access_key_id="lab",
        aws_secret_access_key="lab-generated",
    )
    yield client
    with urllib.request.urlopen(urllib.request.Request(f"{aws_url}/moto-api/reset", method="POST")):
        pass
    client.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    wix = Wix()
    with serving(wix) as url:
        yield Lab(tmp_path, wix, url)
