"""One classification of what the AWS SDK raises, tried with each of its exception classes."""

from __future__ import annotations

import inspect

import botocore.exceptions
import pytest

from syncd.errors import SourceDenied, SourceError, SourceUnavailable
from syncd.sources.aws.session import _translated

SDK = botocore.exceptions
CLASSES = [one for _, one in inspect.getmembers(SDK, inspect.isclass) if issubclass(one, SDK.BotoCoreError)]
NETWORK = [SDK.EndpointConnectionError, SDK.ConnectTimeoutError, SDK.ReadTimeoutError, SDK.ConnectionClosedError, SDK.ProxyConnectionError, SDK.HTTPClientError, SDK.SSLError]  # fmt: skip
CREDENTIALS = [SDK.NoCredentialsError, SDK.PartialCredentialsError, SDK.CredentialRetrievalError, SDK.ProfileNotFound]


def raised(kind: type[Exception]) -> SourceError:
    error = kind.__new__(kind)
    Exception.__init__(error, "planted text")
    with pytest.raises(SourceError) as caught:
        _translated("source aws", lambda: (_ for _ in ()).throw(error))
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
