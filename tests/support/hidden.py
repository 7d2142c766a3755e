"""A source that hides a secret from its listings."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.sources.aws.calls import AwsCalls


def hidden(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """AWS's listing lags: it does not show these."""
    honest = AwsCalls.ask

    def lagging(self: AwsCalls, call: str, **arguments: Any) -> dict[str, Any]:
        answer = honest(self, call, **arguments)
        if call == "list_secrets":
            answer["SecretList"] = [one for one in answer["SecretList"] if one["Name"] not in names]
        return answer

    monkeypatch.setattr(AwsCalls, "ask", lagging)
