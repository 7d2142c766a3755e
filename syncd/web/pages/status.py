"""The page for people: what `/status` tells, to be read at a glance. No scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #d9dde3; --dim: #667080; --good: #157347; --bad: #b3261e; --wait: #9a6700 }
@media (prefers-color-scheme: dark) { :root { --line: #343a43; --dim: #98a2b0; --good: #4cc38a; --bad: #ff8a80;
  --wait: #e3b341 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2.5rem auto; max-width: 62rem; padding: 0 1.5rem }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .4rem }
p { margin: .3rem 0; color: var(--dim) } ul { margin: .4rem 0; padding-left: 1.2rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: var(--dim); font-weight: 500 }
th, td { padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.counts { width: auto } .counts .n { padding-left: 2rem }
.n { text-align: right; font-variant-numeric: tabular-nums } .small { font-size: .87rem; color: var(--dim) }
.good { color: var(--good) } .bad { color: var(--bad) } .wait { color: var(--wait) }
"""
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""Content-Security-Policy: this style sheet, and nothing else."""

CODES = {
    0: ("good", "done"),
    1: ("wait", "done but for some secrets"),
    3: ("bad", "the configuration is at fault"),
    4: ("bad", "a source could not be read"),
    5: ("bad", "the site refused or did not answer"),
    6: ("wait", "done; a limit withheld something"),
    7: ("bad", "the ledger cannot be used"),
}
GOOD = {"synced"}
WAITING = {"pending", "unverified", "orphan", "frozen", "detached"}


def page(content: Mapping[str, Any], missing: Iterable[str], now: datetime) -> str:
    """`told`: what `/status` tells; `missing`: what is not ready, for whoever may see names."""
    waits = "".join(f"<li>{escape(what)}" for what in missing)
    ready = '<span class="good">Ready.</span>'
    state = ready if content["ready"] else f'<span class="wait">Not ready yet.</span><ul>{waits}</ul>'
    wrong = content.get("configuration", "")
    state += f'<br><span class="bad">Configuration: {escape(wrong)}</span>' if wrong else ""
    rows = "".join(_row(job, target, now) for job in content["jobs"] for target in job["targets"] or [None])
    rows = rows or '<tr><td colspan="5">No job is scheduled.'
    counts = "".join(
        f'<tr><td class="{_class(status)}">{escape(status)}<td class="n">{number:,}'
        for status, number in sorted(content["secrets"].items(), key=lambda item: (-item[1], item[0]))
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>syncd</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="30">
<style>{STYLE}</style>
<h1>syncd</h1><p>{state}</p>
<h2>Jobs</h2>
<table><tr><th>job<th>target<th>last cycle<th>last success<th>next{rows}</table>
<h2>Secrets in the ledger</h2>
<table class="counts">{counts or "<tr><td>None yet."}</table>
<p class="small">As of {now:%Y-%m-%d %H:%M:%S} UTC, read anew every 30 seconds.
Names are shown to whoever sends the bearer token.
</html>
"""


def _row(job: Mapping[str, Any], target: Mapping[str, Any] | None, now: datetime) -> str:
    following = job["next_run_at"]
    soon = _span(datetime.fromisoformat(following) - now, "in {}", "now") if following else "not scheduled"
    if target is None:
        return f'<tr><td>{escape(job["job"])}<td class="small" colspan="3">no cycle yet<td>{soon}'
    kind, words = CODES.get(target["exit_code"], ("bad", f"exit code {target['exit_code']}"))
    message = f'<br><span class="small">{escape(target["message"])}</span>' if target.get("message") else ""
    good = target["last_success_at"]
    return (
        f"<tr><td>{escape(job['job'])}<td>{escape(target['target'])}"
        f'<td><span class="{kind}">{words}</span>, {_ago(target["last_run_at"], now)}{message}'
        f"<td>{_ago(good, now) if good else 'never'}<td>{soon}"
    )


def _ago(at: str, now: datetime) -> str:
    return _span(now - datetime.fromisoformat(at), "{} ago", "just now")


def _span(span: Any, form: str, none: str) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return form.format(f"{seconds // size} {unit}")
    return none


def _class(status: str) -> str:
    return "good" if status in GOOD else "wait" if status in WAITING else "bad"
