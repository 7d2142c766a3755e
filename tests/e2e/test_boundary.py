"""The daemon's boundary, and the command line's: whatever comes, the old configuration goes on, and nothing is a bug."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from syncd.daemon import Daemon
from syncd.daemon.app_builder import AppBuilder
from syncd.daemon.event_listeners import EventListeners
from syncd.daemon.reloads import Reloads
from syncd.daemon.scheduler import JobSchedule
from syncd.errors import SyncdError
from syncd.sandbox.launchers import free_ports
from syncd.web.hooks.vault_audit import written
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until


@pytest.fixture
def served(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    lab.config["server"] = {
        "listen": f"127.0.0.1:{free_ports(1)}",
        "token": {"file": str(lab.secret_file("api", "token-of-the-test"))},
    }
    return lab


BROKEN: dict[str, bytes] = {
    "a template": b"owner: {{ .Values.owner }}\n",
    "a template as a key": b"{{ .Values.all }}: x\n",
    "a key that is a list": b"? [a, b]\n: c\n",
    "nothing": b"",
    "a number": b"5\n",
    "bytes": b"\xff\xfe\x00\x01",
    "a date": b"owner: 2026-13-45\nstate: 2026-01-01\n",
    "a set": b"owner: !!set {a, b}\n",
    "binary": b"owner: !!binary ====\n",
    "an int that is none": b"owner: !!int abc\n",
    "an odd timestamp": b"owner: !!timestamp nope\n",
    "infinity": b"jobs: {x: {schedule: {every: .inf}}}\n",
    "omap": b"jobs: !!omap [a: 1, b]\n",
    "a merge of nothing": b"<<: 5\nowner: x\n",
    "deep": b"a: " + b"[" * 5000,
    "python": b"owner: !!python/object/apply:os.system [x]\n",
}


@pytest.mark.sweep
@pytest.mark.parametrize("text", BROKEN)
def test_whatever_the_file_is_the_old_configuration_goes_on(served: Lab, bao: Bao, text: str) -> None:
    path = served.folder / "broken.yaml"
    path.write_bytes(BROKEN[text])
    for words in (("check",), ("sync",), ("plan",)):
        result = served.run(*words, options=("--config", str(path), "--debug"))
        assert result.code == 3, result.err
    daemon = Daemon(served.config_file)
    try:
        before = daemon.generations.current.app
        served.folder.joinpath("syncd.yaml").write_bytes(BROKEN[text])
        with pytest.raises(SyncdError):
            daemon.reloads.reload()
        assert daemon.generations.current.app is before and not before.ended.is_set()
        assert b"syncd_config_last_reload_successful 0.0" in daemon.control.metrics()
    finally:
        daemon.http.stop()
        daemon.generations.current.app.close()


HALF_WAY = {
    "build": (AppBuilder, "build"),
    "schedule": (JobSchedule, "__init__"),
    "queues": (EventListeners, "queues_of"),
    "listen": (EventListeners, "start"),
    "gauges": (Reloads, "_tell_metrics"),
    "start": (BackgroundScheduler, "start"),
}


@pytest.mark.sweep
@pytest.mark.parametrize("where", HALF_WAY)
@pytest.mark.parametrize("error", [TypeError, RuntimeError, OSError, MemoryError, RecursionError])
def test_a_reload_that_fails_half_way_is_undone(
    served: Lab, monkeypatch: pytest.MonkeyPatch, where: str, error: type[Exception]
) -> None:
    daemon = Daemon(served.config_file)
    daemon.generations.current.schedule.start(paused=True)
    try:
        before = daemon.generations.current
        served.config["owner"] = "another"
        assert served.config_file
        calls: list[str] = []

        def broken(*_args: object, **_options: object) -> Any:
            calls.append(where)
            if len(calls) == 1:
                raise error("planted-text")

        monkeypatch.setattr(*HALF_WAY[where], broken)
        with pytest.raises(SyncdError) as caught:
            daemon.reloads.reload()
        monkeypatch.undo()
        assert "planted-text" not in str(caught.value)
        assert daemon.generations.current is before and not before.app.ended.is_set()
        assert before.schedule.next_run("job") is not None and daemon.control.status(None)["jobs"]
        daemon.reloads.reload()
        assert daemon.generations.current is not before and before.app.ended.is_set()
    finally:
        daemon._stop.set()
        daemon.generations.current.schedule.stop(wait=True)
        daemon.http.stop()
        daemon.generations.current.app.close()


@pytest.mark.long
def test_what_was_removed_leaves_the_gauges(served: Lab, bao: Bao) -> None:
    served.job("other", "vault", {"path": f"{bao.mount}/app/*", "name": "O_{field}"}, schedule={"every": "1h"})
    with running(served) as (process, url):
        until(lambda: 'syncd_secrets{job="other"' in ask(url + "/metrics")[1])
        del served.config["jobs"]["other"]
        assert served.config_file
        process.send_signal(signal.SIGHUP)
        until(
            lambda: (
                'job="other"'
                not in "".join(
                    line
                    for line in ask(url + "/metrics")[1].splitlines(True)
                    if "_secrets{" in line or "last_success" in line or "interval" in line
                )
            )
        )
        assert 'syncd_secrets{job="job"' in ask(url + "/metrics")[1]


LINE = {"type": "response", "request": {"operation": "update", "path": "secret/data/x", "mount_point": "secret/"}}
ODD = [
    {"operation": []}, {"operation": {"a": 1}}, {"operation": None}, {"path": ["secret"]}, {"path": 5}, {"mount_point": {}},
    {"namespace": "text"}, {"namespace": {"path": []}}, {"mount_point": 7, "path": None},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_line_costs_itself(odd: dict[str, Any]) -> None:
    lines = [
        {**LINE, "request": {**LINE["request"], **odd}},
        LINE,
        {"type": odd, "request": LINE["request"]},
        [],
        5,
        None,
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\xff\xfe{\n" + b"[" * 9999
    told = written(body)
    assert told is not None and ("", "secret/x") in told.paths


@pytest.mark.sweep
@pytest.mark.parametrize("path", ["/livez/", "/status/", "//evil.example.com/", "/-/sync/", "/metrics/"])
def test_no_redirect_takes_the_host_header(served: Lab, path: str) -> None:
    with running(served) as (_process, url):
        until(lambda: ask(url + "/livez")[0] == 200)
        request = urllib.request.Request(
            url + path, headers={"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
        )
        opener = urllib.request.build_opener(
            type("No", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *_: None})
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(request)
        with caught.value as answer:
            assert answer.code in {404, 405} and "evil" not in str(answer.headers)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["400", "409", "428"])
def test_a_deletion_that_is_refused_for_good_rests(served: Lab, bao: Bao, kind: str) -> None:
    from syncd.sandbox.wix_site import Refusal

    bao.put("app/y", v="2")
    served.config["jobs"]["job"] |= {"deletion_policy": "delete", "deletion_grace": "0s", "guard": {"max_deletes": 10}}
    assert served.run("sync").code == 0
    tried: list[str] = []

    def refused(secret_id: str) -> Any:
        tried.append(secret_id)
        raise Refusal(400 if kind != "409" else 422, "VALIDATION", "no", field_name="secret.id")

    served.site.delete = refused  # type: ignore[method-assign]
    bao.remove("app/x")
    codes = [served.run("sync").code for _ in range(5)]
    assert len(tried) == 1 and set(codes) == {1}
    assert served.statuses()["x_v"] == "quarantined"


def spawned(lab: Lab, *words: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "syncd", "--config", str(lab.config_file), *words]
    return subprocess.run(
        argv, env={**os.environ, **AWS_ENVIRON, **environ}, capture_output=True, check=False, timeout=60
    )


@pytest.mark.sweep
@pytest.mark.parametrize(
    "environ",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"COLUMNS": "abc", "TERM": "nonsense", "TZ": "Nowhere/Nothing"},
        {"SSL_CERT_FILE": "/nonexistent"},
        {"HTTPS_PROXY": "foo://bar"},
        {"ALL_PROXY": "http://[::1"},
        {"NO_PROXY": "localhost,10.0.0.0/8,fd00::/8"},
        {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        {"REQUESTS_CA_BUNDLE": "/nonexistent"},
    ],
    ids=str,
)
def test_no_environment_is_a_bug(served: Lab, bao: Bao, environ: dict[str, str]) -> None:
    bao.put("app/ünï \U0001f511", v="x" * 4000)
    served.config["targets"]["far"] = {
        "type": "wix",
        "auth": {"method": "api_key", "site_id": "far", "api_key": {"file": str(served.folder / "wix-key")}},
    }
    # What cannot be used is told before anything is sent: only then may a client for another machine be made here.
    unusable = environ.keys() & {"SSL_CERT_FILE", "HTTPS_PROXY", "ALL_PROXY"}
    for words in (("sync",), ("check", "--connect") if unusable else ("check",), ("plan", "--json")):
        done = spawned(served, *words, **environ)
        assert done.returncode in {0, 1, 3, 4, 5}, (words, done)


ARGUMENTS: list[tuple[str, ...]] = [
    ("--config", "a\0b", "check"), ("explain", "a\0b"), ("explain", "\udcff"), ("state", "freeze", "x_v", "--until", "9999-12-31T23:59:59-23:59"),
    ("state", "freeze", "x_v", "--until", "9999-12-31"), ("state", "freeze", "x_v", "--until", "0001-01-01T00:00+14:00"),
    ("state", "freeze", "x_v", "--until", ""), ("state", "freeze", "x_v", "--until", "999999d"), ("state", "adopt", "x", "--for", "999999d"),
    ("sync", "--wait", "999999d"), ("sync", "--wait", "٣s"), ("sync", "--allow-deletes", "9" * 40), ("sync", "--allow-deletes", "-1"),
    ("plan", "--out", "/"), ("plan", "--out", ""), ("plan", "--out", "/proc/self/mem"), ("plan", "--out", "x" * 300), ("plan", "--out", "FOLDER/a/b/c"),
    ("apply", "/"), ("apply", "/dev/zero"), ("apply", ""), ("--config", "/dev/zero", "check"), ("--config", "/", "check"), ("check", "--probe", "\x1b"),
    ("sandbox", "--only", "wix", "--port", "99999"), ("sandbox", "--only", "wix", "--dir", "/dev/null"), ("state", "remount", "vault", "../.."),
    ("state", "forget", "x" * 10000), ("state", "join-site", "", ""), ("-c",), ("--log-format", "xml", "check"), ("sync", "\n"), ("no-such-command",),
]  # fmt: skip


@pytest.mark.sweep
@pytest.mark.parametrize("words", ARGUMENTS, ids=lambda words: " ".join(words)[:40].encode("unicode_escape").decode())
def test_no_argument_is_a_bug(served: Lab, words: tuple[str, ...]) -> None:
    assert served.run("sync").code == 0
    words = tuple(word.replace("FOLDER", str(served.folder)) for word in words)
    result = served.run(*words)
    assert result.code in {0, 3, 6}, result
    assert result.code == 0 or "syncd: " in result.err


def jumped(process: Any, clock: Path, offset: str) -> None:
    clock.write_text(offset + "\n")


@pytest.mark.sweep
@pytest.mark.parametrize("offset", ["-3600", "+3600", "-90000"])
def test_a_daemon_goes_on_when_its_clock_jumps(served: Lab, bao: Bao, offset: str) -> None:
    libfaketime = pytest.importorskip("libfaketime")
    served.config["jobs"]["job"]["schedule"] = {"every": "3s"}
    clock = served.folder / "clock"
    clock.write_text("+0\n")
    library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    environ = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    if not library.exists():
        pytest.skip("libfaketime's library is not where it was")
    process = served.popen("run", **environ)
    try:
        until(lambda: served.site.values() == {"x_v": "1"})
        clock.write_text(offset + "\n")
        bao.put("app/x", v="2")
        until(lambda: served.site.values() == {"x_v": "2"}, seconds=20)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert "clock.jumped" in err


@pytest.mark.sweep
@pytest.mark.parametrize("trouble", ["403", "428", "429", "500", "source"])
def test_ready_means_tried(served: Lab, trouble: str) -> None:
    if trouble == "source":
        served.config["sources"]["vault"]["address"] = f"http://127.0.0.1:{free_ports(1)}"
    elif trouble == "428":
        served.site.options.members_area = False
    else:
        served.wix.fault(trouble, times=10**6)
    with running(served) as (_process, url):
        until(lambda: ask(url + "/readyz")[0] == 200, seconds=30)
