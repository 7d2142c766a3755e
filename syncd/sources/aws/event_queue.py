"""Secrets Manager's events from an SQS queue: which secrets changed, told by name.

EventBridge puts CloudTrail's records there (`source: aws.secretsmanager`): API calls with the secret's name
or ARN in `requestParameters`, service events such as a finished rotation in `additionalEventData`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from syncd.domain import name_in
from syncd.domain.untrusted import mapping, parsed, text
from syncd.sources.aws.calls import AwsCalls
from syncd.sources.aws.errors import Refused, as_source_error
from syncd.sources.aws.listing import NAME

POLL_SECONDS = 5
"""Seconds that SQS waits for a message: less than a call's deadline. A stop of the process waits for at most this."""
BATCH = 10
"""Messages a call at most (ReceiveMessage reference)."""


def names_in(body: str) -> frozenset[str]:
    """Return the names of the secrets that one message is about; empty for other messages and for a call that failed.

    CloudTrail writes down what any caller asked for: only a text that AWS allows as a name is taken for one.
    """
    event = mapping(parsed(body.encode("utf-8", "surrogatepass")))
    event = mapping(json_in(event["Message"])) if "Message" in event else event  # by way of SNS
    detail = mapping(event.get("detail"))
    # CloudTrail tells of refused calls, too: such a call changed nothing, and anybody may have named anything in it.
    if event.get("source") != "aws.secretsmanager" or detail.get("errorCode"):
        return frozenset()
    asked_for, more = mapping(detail.get("requestParameters")), mapping(detail.get("additionalEventData"))
    given = (asked_for.get("secretId"), asked_for.get("name"), more.get("SecretId"), more.get("secretId"))
    names = (name_in(text(named)) for named in given)
    return frozenset(name for name in names if NAME.fullmatch(name))


def json_in(text_of_json: object) -> Any:
    """Return the content of JSON that stands as a text within JSON; None if the text is no JSON."""
    try:
        return json.loads(text(text_of_json))
    # Some kilobytes of brackets are enough to exhaust the parser's stack.
    except (ValueError, RecursionError):
        return None


class Queue:
    """One SQS queue."""

    def __init__(
        self, source: str, client: Any, url: str, renewed: Callable[[], Any | None], stop: threading.Event
    ) -> None:
        """`renewed` and `stop`: as for `AwsCalls`."""
        self._calls = AwsCalls(f"source {source}: the queue of its events", client, renewed, stop)
        self._url = url

    def receive(self) -> tuple[frozenset[str], list[str]]:
        """Wait for messages. Returns: the names that changed, and receipts to give to `done`. Raises `SourceError`."""
        answer = self._ask("receive_message", MaxNumberOfMessages=BATCH, WaitTimeSeconds=POLL_SECONDS)
        messages = [mapping(message) for message in answer.get("Messages") or ()]
        names = frozenset[str]().union(*(names_in(text(message.get("Body"))) for message in messages))
        return names, [message["ReceiptHandle"] for message in messages if text(message.get("ReceiptHandle"))]

    def done(self, receipts: list[str]) -> None:
        """Take messages off the queue. Raises `SourceError`."""
        # SQS wants an id that tells the entries of one call apart, and refuses a call without entries.
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        if entries:
            self._ask("delete_message_batch", Entries=entries)

    def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        try:
            return self._calls.ask(call, QueueUrl=self._url, **arguments)
        except Refused as refused:
            needs = "sqs:ReceiveMessage and sqs:DeleteMessage"
            raise as_source_error(self._calls.place, refused, needs) from None
