"""The ownership mark at the end of a description at Wix. Pure."""

from __future__ import annotations

import hashlib
import json
import re

from syncd.domain import SecretRef, utf16_length

DESCRIPTION_MAX = 200
"""Characters of a Wix description (the official client's types: `@maxLength 200`)."""


def mark_of(owner: str, name: str, ref: SecretRef) -> str:
    """Return the mark that says at Wix that a secret is this installation's, by owner, name and source reference."""
    # As JSON no two references give one text, and a whole secret differs from a field without a name.
    reference = json.dumps([owner, name, ref.source, ref.path, ref.field])
    return f"[syncd:{owner}:{hashlib.sha256(reference.encode()).hexdigest()[:8]}]"


def marked(text: str, mark: str) -> str:
    """`text` with the mark at its end; a longer text is cut so that the mark always fits."""
    room = DESCRIPTION_MAX - utf16_length(mark) - 1
    # A path or a field may be called like a mark, and a text may be copied from Wix: only the one at the end is one.
    text = MARK.sub(lambda found: f"({found[0][1:-1]})", text.strip())
    # By whole characters: a cut between UTF-16 units would leave half of one.
    while utf16_length(text) > room:
        text = text[:-1].rstrip()
    return f"{text} {mark}" if text else mark


# In any case: whoever edits a description may change it, and the secret stays the other's.
MARK = re.compile(r"\[syncd:([A-Za-z0-9][A-Za-z0-9._-]{0,62}):[0-9a-f]{8}\]", re.IGNORECASE)
_AT_THE_END = re.compile(MARK.pattern + r"\s*\Z", re.IGNORECASE)


def other_owner(description: str, owner: str) -> str:
    """Return the first owner other than `owner` whose mark a description holds anywhere; empty if there is none.

    Not only the mark at the end counts: a person may have written something behind it, even an earlier mark of ours,
    and two owners are a conflict.
    """
    return next((found for found in MARK.findall(description) if found != owner), "")


def owner_in(description: str) -> str:
    """The owner in the mark at the end of a description; empty for none."""
    found = _AT_THE_END.search(description)
    return found[1] if found else ""


def mark_in(description: str) -> str:
    """The mark at the end of a description; empty for none."""
    found = _AT_THE_END.search(description)
    return found[0].rstrip() if found else ""


def is_for_another(description: str, owner: str, wanted: str) -> bool:
    """Does a description hold this owner's mark, wherever, and not the one that `wanted` ends in?

    A person may have written something behind it.
    """
    ours = {found[0] for found in MARK.finditer(description) if found[1] == owner}
    return bool(ours) and mark_in(wanted) not in ours


def carries(description: str, mark: str) -> bool:
    """Does this description end in the mark?"""
    return description.rstrip().endswith(mark)
