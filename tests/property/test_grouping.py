"""One cause is one message; different causes stay apart, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncd.report.grouping import Problem, grouped_by_cause


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.text("xyz", max_size=3), st.sampled_from(["m1", "m2"])), max_size=30
    )
)
def test_every_problem_is_in_one_group(rows: list[tuple[str, str, str]]) -> None:
    problems = [Problem(label=label, name=name, message=message) for label, name, message in rows]
    groups = list(grouped_by_cause(problems))
    assert sorted(p.name for group in groups for p in group) == sorted(p.name for p in problems)
    assert all(len({p.cause for p in group}) == 1 for group in groups)
