"""One cause is one message; different causes stay apart, and nothing is lost."""

from __future__ import annotations

import pytest

from syncd.cli.report_output import cycle_error_lines
from syncd.errors import TargetDenied, TargetUnavailable
from syncd.report.grouping import Problem, grouped_by_cause, places_in_words, problem_lines


def conflict(name: str) -> Problem:
    return Problem(
        label="conflict", name=f"{name} (vault:kv/{name}#v)", message="is taken", hint=f"syncd state adopt {name}"
    )


def test_few_are_listed_many_are_counted() -> None:
    assert len(list(problem_lines(map(conflict, "abc")))) == 6
    first, fix = problem_lines(conflict(f"N{number}") for number in range(112))
    assert first == "  conflict    112 secrets (N0, N1, N2, N3, N4 and 107 more): is taken"
    assert fix.endswith("fix: syncd state adopt NAME")


def test_ids_at_wix_keep_no_cause_apart() -> None:
    taken = [Problem(label="taken back", name=f"N{n}", message=f"by its mark (id 0b{n}-{n})") for n in range(7)]
    assert list(problem_lines(taken)) == ["  taken back  7 secrets (N0, N1, N2, N3, N4 and 2 more): by its mark"]
    assert list(problem_lines(taken[:1])) == ["  taken back  N0: by its mark (id 0b0-0)"]


def test_a_name_within_another_word_is_no_name() -> None:
    one = Problem(label="failed", name="key", message="the monkey has no key-ring, key", hint="")
    assert one.cause[1] == "the monkey has no key-ring, NAME"


def test_ten_sites_that_refuse_are_two_lines() -> None:
    def refused(target: str) -> TargetDenied:
        return TargetDenied(
            f"{target}: Wix refused the GET: no permission for it on site id-{target} (HTTP 403)", hint="see the key"
        )

    errors = [("job", f"site{n:02}", refused(f"site{n:02}")) for n in range(10)]
    lines = list(cycle_error_lines([*errors, ("job", "other", TargetUnavailable("other: slow", hint="wait"))]))
    assert lines == [
        "syncd: job -> 10 targets (site00, site01, site02, site03, site04 and 5 more): Wix refused the GET: no permission for it on its site (HTTP 403)",
        "  fix: see the key",
        "syncd: job -> other: slow",
        "  fix: wait",
    ]


@pytest.mark.parametrize("spans", [("23h58m", "23h57m"), ("2d", "1d23h59m"), ("59m", "10s"), ("1h", "1h")])
def test_what_is_left_of_a_span_keeps_no_cause_apart(spans: tuple[str, str]) -> None:
    told = [f"its path is gone at the source; deleted after {span} more of observed absence" for span in spans] * 2
    problems = [Problem(label="missing", name=f"n{at}", message=message) for at, message in enumerate(told)]
    assert len(list(grouped_by_cause(problems))) == 1


def test_another_number_is_another_cause() -> None:
    problems = [Problem(label="failed", name=f"n{at}", message=f"holds {at} more than 4096 bytes") for at in range(5)]
    assert len(list(grouped_by_cause(problems))) == 5


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([("a", "x")], ("a", "x")),
        ([("a", "x"), ("b", "x")], ("a, b", "x")),
        ([("a", "x"), ("a", "y"), ("b", "y"), ("b", "x")], ("a, b", "x, y")),
        ([("a", "x"), ("b", "y")], ("a on x; b on y", "")),
        ([("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")], ("a on x, y; b, c on x", "")),
        ([(f"n{number}", f"t{number}") for number in range(7)], ("n0 on t0; n1 on t1; n2 on t2; n3 on t3; n4 on t4; and 2 more", "")),
        ([], ("", "")),
    ],
)  # fmt: skip
def test_nothing_is_said_to_be_where_it_is_not(places: list[tuple[str, str]], told: tuple[str, str]) -> None:
    assert places_in_words(places) == told


@pytest.mark.parametrize(
    "command",
    ["state freeze NAME --target {} --until 7d", "state adopt NAME --target {}", "state forget NAME --target {}"],
)
def test_the_target_of_a_command_keeps_no_cause_apart(command: str) -> None:
    def gone(target: str) -> Problem:
        hint = f"to keep it: syncd {command.replace('NAME', 'KEY').format(target)} --reason '…'"
        return Problem(label="missing", name="KEY", message="its path is gone at the source", hint=hint)

    every = [gone(target) for target in ("shop", "site01", "eu-2", "a.b", "x_y", "s6", "s7", "s8")]
    (group,) = grouped_by_cause(every)
    assert group[0].cause[2] == f"to keep it: syncd {command.format('TARGET')} --reason '…'"
    assert [one.hint for (one,) in map(list, grouped_by_cause(every[:1]))] == [every[0].hint], "alone it works as typed"
