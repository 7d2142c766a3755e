"""How many deletions a person allowed for one run, in all or on one target. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from syncd.errors import ConfigError

LARGEST = 1_000_000
"""Most deletions that one option may allow; a larger number is taken for a typing error."""


@dataclass(slots=True, kw_only=True)
class DeletionAllowance:
    """How many deletions `--allow-deletes` still allows: a named target has its own number, others share `total`."""

    total: int = 0
    by_target: dict[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, options: Iterable[str], targets: Iterable[str]) -> DeletionAllowance:
        """Read `N` and `TARGET=N` options: at most one `N`, and one `TARGET=N` for each target.

        `targets`: the names of the configured targets. Raises `ConfigError` for an unknown target, for an option that
        is given twice, and for what is no number up to 1,000,000.
        """
        allowance, known = cls(), sorted(targets)
        given: set[str] = set()
        for text in options:
            target, separator, number = text.rpartition("=")
            # `int` alone takes signs, blanks, underscores and the digits of other scripts.
            if not re.fullmatch(r"[0-9]{1,7}", number) or int(number) > LARGEST:
                raise ConfigError(
                    f"--allow-deletes {text} is not a number of deletions",
                    hint="write a number, or TARGET=NUMBER, for example --allow-deletes shop=4",
                )
            if separator and target not in known:
                raise ConfigError(f"there is no target {target}", hint=f"the targets are {', '.join(known)}")
            # Which of two numbers is meant would be a guess, and this one lets secrets be deleted.
            if target in given:
                raise ConfigError(
                    f"--allow-deletes is given twice for {target or 'the whole run'}", hint="add the numbers up"
                )
            given.add(target)
            if separator:
                allowance.by_target[target] = int(number)
            else:
                allowance.total = int(number)
        return allowance

    def __bool__(self) -> bool:
        return bool(self.total or any(self.by_target.values()))

    def left_on(self, target: str) -> int:
        """Deletions that are still allowed on this target."""
        return self.by_target.get(target, self.total)

    def spend(self, target: str, count: int) -> None:
        """Note deletions that were sent."""
        if target in self.by_target:
            self.by_target[target] = max(0, self.by_target[target] - count)
        else:
            self.total = max(0, self.total - count)


def allowing_command(job: str, counts: Mapping[str, int]) -> str:
    """Return the command that allows these deletions of a job. `counts`: how many on each target."""
    # Quoted, because it is printed to be copied into a shell.
    options = " ".join(f"--allow-deletes {shlex.quote(target)}={count}" for target, count in counts.items())
    return f"syncd sync {shlex.quote(job)} {options} --reason '…'"
