"""Names and ARNs of Secrets Manager's secrets. Pure.

Secrets Manager ends the ARN of each secret with a hyphen and six characters of its own (CreateSecret reference).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME_CHARACTERS = r"A-Za-z0-9/_+=.@!-"
"""What a secret's name is made of (CreateSecret reference); `!` is in those that AWS's services make: `rds!db-…`."""
PATTERN = re.compile(
    # AWS has partitions of its own for China and for the US government: aws-cn, aws-us-gov.
    r"arn:(?P<partition>aws[a-z-]*):secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12})"
    rf":secret:(?P<name>[{NAME_CHARACTERS}]{{1,512}})-[A-Za-z0-9]{{6}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretArn:
    """The whole ARN of one secret, taken apart."""

    region: str
    account: str
    name: str
    """The secret's name, without the six characters."""

    @classmethod
    def parse(cls, text: str) -> SecretArn | None:
        """Take the whole ARN of a secret apart; return None for any other text."""
        match = PATTERN.fullmatch(text)
        return cls(region=match["region"], account=match["account"], name=match["name"]) if match else None

    @property
    def owner(self) -> str:
        """Region and account: the place that the secret belongs to."""
        return f"{self.region}:{self.account}"


def name_in(path: str) -> str:
    """The name of the secret that a path means: an ARN's name, else the path itself."""
    arn = SecretArn.parse(path)
    return arn.name if arn else path
