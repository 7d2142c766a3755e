"""Which names a rule could give to what was not seen: never fewer than it gives."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from syncd.domain import Glob, Rule, SecretRef
from syncd.domain.naming import could_name, wix_name
from syncd.errors import BadName

PIECES = st.sampled_from(["PAY_", "{path}", "{field}", "{basename}", "{source}", "{mount}", "-", "x", "ü", "{{"])
SEGMENTS = st.text("ab/._-ü ", min_size=1, max_size=60)


def rule(name: str, path: str = "kv/**", field: str | None = "*") -> Rule:
    return Rule(index=0, source="vault", path=Glob(path), field=field, name=name)


@given(
    st.lists(PIECES, min_size=1, max_size=4).map("".join),
    SEGMENTS,
    st.text("kfz_", min_size=1, max_size=30),
    st.sampled_from(["api", "dashboard"]),
)
def test_what_a_rule_gives_it_could_give(template: str, below: str, field: str, profile: str) -> None:
    path = f"kv/{below}"
    for one in (rule(template), rule(template, path)):
        try:
            name = wix_name(one, SecretRef(source="vault", path=path, field=field), "kv", profile)
        except BadName:
            assume(False)
        assert could_name(one, name, path, "kv", profile)
        assert could_name(one, name, None, "kv", profile) and could_name(one, name.swapcase(), None, "", profile)
