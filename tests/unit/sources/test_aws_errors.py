"""One classification of what the AWS SDK raises, tried with each of its exception classes."""

from __future__ import annotations

import inspect

import botocore.exceptions
import pytest

from syncd.errors import ConfigError, SourceDenied, SourceError, SourceUnavailable
from syncd.sources.aws.errors import translated
from syncd.sources.aws.session import ClientFactory

SDK = botocore.exceptions
CLASSES = [one for _, one in inspect.getmembers(SDK, inspect.isclass) if issubclass(one, SDK.BotoCoreError)]
NETWORK = [SDK.EndpointConnectionError, SDK.ConnectTimeoutError, SDK.ReadTimeoutError, SDK.ConnectionClosedError, SDK.ProxyConnectionError, SDK.HTTPClientError, SDK.SSLError]  # fmt: skip
CREDENTIALS = [SDK.NoCredentialsError, SDK.PartialCredentialsError, SDK.CredentialRetrievalError, SDK.ProfileNotFound]


def raised(kind: type[Exception]) -> SourceError:
    error = kind.__new__(kind)
    Exception.__init__(error, "planted text")
    with pytest.raises(SourceError) as caught:
        translated("source aws", lambda: (_ for _ in ()).throw(error))
    assert "planted" not in str(caught.value) + caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_class_of_the_sdk(kind: type[Exception]) -> None:
    told = raised(kind)
    assert "token file" not in told.message
    if issubclass(kind, tuple(CREDENTIALS)):
        assert isinstance(told, SourceDenied)
    elif issubclass(kind, tuple(NETWORK)):
        assert isinstance(told, SourceUnavailable) and told.whole, "the rest is not waited for"
        assert told.stalled == issubclass(kind, (SDK.ConnectTimeoutError, SDK.ReadTimeoutError))


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, IsADirectoryError])
def test_a_file_of_the_chain(kind: type[Exception]) -> None:
    assert isinstance(raised(kind), SourceDenied)


ADDRESS = "https://secretsmanager.eu-west-1.amazonaws.com"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.mark.parametrize(
    ("environ", "address", "way"),
    [
        ({"ALL_PROXY": "http://p:1"}, "", "http://p:1"),
        ({"HTTPS_PROXY": "p:1", "ALL_PROXY": "http://q:1"}, "", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.amazonaws.com"}, "", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8, fd00::/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[fd00::]/8,fd00::/8"}, "https://[fd00::7]", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.1:9", None),
    ],
)
def test_the_way_to_aws_follows_the_same_law_as_to_wix_and_vault(
    environ: dict[str, str], address: str, way: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = ClientFactory(service="secretsmanager", region="eu-west-1", endpoint_url=address).connect()
    assert client.meta.endpoint_url == (address or ADDRESS)
    assert client.meta.config.proxies == ({"http": way, "https": way} if way else {})


def test_a_variable_that_names_no_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "planted:text:more")
    with pytest.raises(ConfigError, match="ALL_PROXY") as caught:
        ClientFactory(service="sqs", region="eu-west-1").connect()
    assert "planted" not in str(caught.value)
