"""`syncd run` as a service: schedules, the HTTP side, reload, and a stop in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from syncd.daemon import Daemon
from syncd.errors import ConfigError
from syncd.sandbox.launchers import free_ports
from tests.lab import AWS_ENVIRON, Bao, Lab
from tests.support.daemon import ask, running
from tests.support.http_stub import answering
from tests.support.waiting import until, within


@pytest.fixture
def served(lab: Lab, bao: Bao) -> Lab:
    lab.vault(bao)
    lab.secret_file("api-token", "generated-token")
    lab.config["server"] = {
        "listen": f"127.0.0.1:{free_ports(1)}",
        "token": {"file": str(lab.folder / "api-token")},
    }
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"}, schedule={"every": "1h"})
    bao.put("app/a", v="one")
    return lab


def test_the_whole_life_of_a_daemon(served: Lab, bao: Bao) -> None:
    with running(served) as (process, url):
        until(lambda: ask(url + "/livez")[0] == 200)
        until(lambda: served.site.values() == {"a_v": "one"})
        until(lambda: ask(url + "/readyz")[0] == 200)
        metrics = ask(url + "/metrics")[1]
        assert 'syncd_actions_total{action="create",outcome="done"} 1.0' in metrics
        assert "syncd_build_info" in metrics
        until(lambda: 'syncd_secrets{job="job",status="synced",target="shop"} 1.0' in ask(url + "/metrics")[1])

        plain = ask(url + "/status")[1]
        assert json.loads(plain)["ready"] is True
        assert not re.search(r"shop|app|a_v|vault", plain), "names only with the token"
        assert json.loads(ask(url + "/status", token="generated-token")[1])["jobs"][0]["job"] == "job"

        assert ask(url + "/-/sync?job=job", "POST")[0] == 401
        assert ask(url + "/-/sync?job=job", "POST", "wrong")[0] == 401
        assert ask(url + "/-/sync?job=none", "POST", "generated-token")[0] == 404
        bao.put("app/a", v="two")
        assert ask(url + "/-/sync?job=job", "POST", "generated-token")[0] == 202
        until(lambda: served.site.values() == {"a_v": "two"})

        good = served.config["jobs"]["job"]["secrets"]
        served.config["jobs"]["job"]["secrets"] = [{"path": "wrong//path", "nmae": "x"}]
        _ = served.config_file
        process.send_signal(signal.SIGHUP)
        assert ask(url + "/-/reload", "POST", "generated-token")[0] == 422
        bao.put("app/a", v="three")
        ask(url + "/-/sync?job=job", "POST", "generated-token")
        until(lambda: served.site.values() == {"a_v": "three"})
        served.config["jobs"]["job"]["secrets"] = [*good, {"path": f"{bao.mount}/more/*"}]
        bao.put("more/b", v="four")
        _ = served.config_file
        process.send_signal(signal.SIGHUP)
        until(lambda: served.site.values() == {"a_v": "three", "b_v": "four"})

        with within(10):
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[0] == "daemon.started" and events[-1] == "daemon.stopped"
    assert "config.refused" in events and "config.reloaded" in events and "secret.created" in events
    assert "generated-token" not in out + err and bao.token not in out + err and served.key not in out + err


def test_sigterm_settles_what_is_in_flight(served: Lab, bao: Bao) -> None:
    for number in range(60):
        bao.put(f"app/s{number}", v=str(number))
    served.site.options.latency = 0.2
    with running(served) as (process, _):
        until(lambda: len(served.site.secrets) > 5)
        with within(10):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
    served.site.options.latency = 0
    assert {k: v for k, v in served.ledger().items() if v} == served.ids()
    assert served.run("sync").code == 0
    assert len(served.site.created_ids) == 61 == len(served.site.secrets)


@pytest.mark.long
def test_sigterm_while_wix_stalls(served: Lab) -> None:
    served.wix.fault("slow", "GET", times=100, seconds=30)
    with running(served) as (process, url):
        until(lambda: served.wix.seen)
        assert ask(url + "/livez")[0] == 200
        with within(10):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0


@pytest.mark.long
def test_a_second_process_waits_and_says_who_holds_the_site(served: Lab) -> None:
    asked = threading.Event()
    served.wix.fault("slow", on=lambda: asked.wait(60))
    with running(served) as (process, _):
        until(lambda: served.wix.seen)
        result = served.spawn("sync", "--wait", "0s")
        asked.set()
        assert result.code == 7
        assert f"process {process.pid}" in result.err and "syncd run" in result.err


@pytest.mark.long
def test_interrupted_sync_says_so(served: Lab, bao: Bao) -> None:
    for number in range(60):
        bao.put(f"app/s{number}", v=str(number))
    served.site.options.latency = 0.2
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = served.popen("sync")
        before = len(served.site.secrets)
        until(lambda before=before: len(served.site.secrets) > before + 2)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == code
    served.site.options.latency = 0
    assert served.run("sync").code == 0
    assert len(served.site.created_ids) == 61


@pytest.mark.long
def test_a_port_in_use_is_said(served: Lab) -> None:
    with running(served) as (_, url):
        until(lambda: ask(url + "/livez")[0] == 200)
        result = served.spawn("run")
        assert result.code == 3
        assert "cannot be bound" in result.err
        assert len(served.run("audit", "show", "--event", "config.loaded", "--json").json) == 1


def swapped(volume: Path, text: str, number: int) -> None:
    """What the kubelet does with a changed ConfigMap: a new folder, and a link that is moved over the old one."""
    folder = volume / f"..{number}"
    folder.mkdir(parents=True)
    (folder / "syncd.yaml").write_text(text)
    (volume / "..next").symlink_to(folder.name)
    (volume / "..next").rename(volume / "..data")
    if not (volume / "syncd.yaml").is_symlink():
        (volume / "syncd.yaml").symlink_to("..data/syncd.yaml")


@pytest.mark.long
def test_a_swapped_config_map_is_noticed_and_a_broken_one_is_refused(served: Lab, bao: Bao) -> None:
    volume = served.folder / "mounted"
    swapped(volume, served.config_file.read_text(), 1)
    argv = [sys.executable, "-m", "syncd", "--config", str(volume / "syncd.yaml"), "--log-format", "json", "run"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **AWS_ENVIRON})
    url = "http://" + served.config["server"]["listen"]
    try:
        until(lambda: served.site.values() == {"a_v": "one"})
        assert "syncd_config_last_reload_successful 1.0" in ask(url + "/metrics")[1]
        good = served.config["jobs"]["job"]["secrets"]
        served.config["jobs"]["job"]["secrets"] = [*good, {"path": f"{bao.mount}/more/*"}]
        bao.put("more/b", v="two")
        with within(10):
            swapped(volume, served.config_file.read_text(), 2)
            until(lambda: served.site.values() == {"a_v": "one", "b_v": "two"})
        swapped(volume, "owner: lab\njobs: [this is none", 3)
        until(lambda: "syncd_config_last_reload_successful 0.0" in ask(url + "/metrics")[1])
        bao.put("more/b", v="three")
        assert ask(url + "/-/sync?job=job", "POST", "generated-token")[0] == 202
        until(lambda: served.site.values() == {"a_v": "one", "b_v": "three"})
        swapped(volume, served.config_file.read_text(), 4)
        until(lambda: "syncd_config_last_reload_successful 1.0" in ask(url + "/metrics")[1])
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    events = [json.loads(line)["event"] for line in err.splitlines() if line.startswith("{")]
    assert events.count("config.refused") == 1 and events.count("config.reloaded") == 2
    assert process.returncode == 0


@pytest.mark.long
def test_what_alerts_need_is_told(served: Lab, bao: Bao) -> None:
    """Intervals, quotas, the end of a token that cannot be renewed, and what never came into the ledger."""
    token = bao.root.auth.token.create(policies=["root"], ttl="90m", renewable=False, no_parent=True)["auth"]
    served.secret_file("vault-token", token["client_token"])
    bao.put("app/empty", v="")
    served.site.create({"name": "taken_v", "value": "theirs"})
    bao.put("app/taken", v="ours")
    with running(served) as (_, url):
        until(lambda: 'status="conflict",target="shop"} 1.0' in ask(url + "/metrics")[1])
        metrics = ask(url + "/metrics")[1]
    assert 'syncd_job_interval_seconds{job="job"} 3600.0' in metrics
    assert 'syncd_target_rate_limit_per_second{target="shop"} 5000.0' in metrics
    assert 'syncd_secrets{job="job",status="quarantined",target="shop"} 1.0' in metrics
    (ends,) = re.findall(r'syncd_source_credential_expires_timestamp_seconds{source="vault"} ([0-9.e+]+)', metrics)
    assert 5000 < float(ends) - time.time() <= 5400


def test_cycles_are_traced_where_an_endpoint_is_configured(served: Lab, bao: Bao) -> None:
    """Told to a collector as OTLP over HTTP: a span a cycle, its actions as events, and no value."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    bodies: list[bytes] = []

    def collected(_method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        assert path == "/v1/traces"
        bodies.append(body)
        return 200, b"", "application/x-protobuf"

    bao.put("app/a", v="planted-for-traces")
    with answering(collected) as (url, _):
        done = served.spawn("sync", OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert done.code == 0, done.err
    sent = ExportTraceServiceRequest()
    sent.ParseFromString(bodies[0])
    (span,) = sent.resource_spans[0].scope_spans[0].spans
    told = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    assert span.name == "syncd.cycle" and told["syncd.job"] == "job" and told["syncd.created"] == 1
    assert [event.name for event in span.events] == ["secret.create"]
    assert told["syncd.run_id"] in done.err and b"planted" not in b"".join(bodies)


@pytest.mark.long
def test_a_collector_that_is_not_there_stops_nothing(served: Lab) -> None:
    with within(15):
        done = served.spawn("sync", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_ports(1)}")
    assert done.code == 0 and served.site.values() == {"a_v": "one"}


@pytest.mark.long
def test_a_stop_in_the_middle_of_a_hundred_slow_writes(served: Lab, bao: Bao) -> None:
    """200 ms each: what was sent is settled, the rest is left to the next start, nothing is lost or doubled."""
    bao.put("app/many", **{f"f{number:03}": str(number) for number in range(99)})
    served.site.options.latency = 0.2
    with running(served) as (process, _):
        until(lambda: len(served.site.secrets) >= 25)
        with within(8):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 0
    sent = len(served.site.created_ids)
    assert 25 <= sent < 100
    assert {row for row in served.ledger().values() if row} == set(served.site.secrets), "every id is in the ledger"
    served.site.options.latency = 0.0
    assert served.settle().code == 0
    assert len(served.site.secrets) == 100 == len(served.site.created_ids), f"{sent} before the stop"


@pytest.mark.long
def test_it_is_not_ready_without_a_credential(served: Lab) -> None:
    """A target whose key is not there yet was not reached, though nothing of the network failed."""
    (served.folder / "wix-key").unlink()
    with running(served) as (_, url):
        until(lambda: 'exit_code":3' in ask(url + "/status", token="generated-token")[1].replace(" ", ""))
        assert ask(url + "/readyz")[0] == 503
        served.secret_file("wix-key", served.key)
        ask(url + "/-/sync?job=job", "POST", "generated-token")
        until(lambda: ask(url + "/readyz")[0] == 200)


def test_a_configuration_counts_once_two_looks_have_seen_it(served: Lab) -> None:
    """An editor may be in the middle of it; and what was refused is tried again later."""
    path = served.config_file
    daemon = Daemon(path)
    daemon.generations.current.schedule.start(paused=True)
    try:
        whole = path.read_text()
        assert not daemon.reloads.watch.was_changed()
        path.write_text(whole[:-40])
        assert not daemon.reloads.watch.was_changed(), "seen once"
        path.write_text(whole + "\n# more\n")
        assert not daemon.reloads.watch.was_changed(), "another one, seen once"
        assert daemon.reloads.watch.was_changed()
        daemon.reloads.reload()
        assert not daemon.reloads.watch.was_changed()
        path.write_text("owner: lab\njobs: [")
        assert not daemon.reloads.watch.was_changed() and daemon.reloads.watch.was_changed()
        with pytest.raises(ConfigError):
            daemon.reloads.reload()
        assert not daemon.reloads.watch.was_changed(), "it was tried"
        assert daemon.reloads.watch._refused_at is not None
        daemon.reloads.watch._refused_at -= 61
        assert daemon.reloads.watch.was_changed(), "what it lacked may have come"
    finally:
        daemon.shut_down()


@pytest.mark.long
@pytest.mark.parametrize("environ", [{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, {"OTEL_BSP_MAX_QUEUE_SIZE": "x"}])
def test_odd_settings_of_traces_stop_nothing(served: Lab, environ: dict[str, str]) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_ports(1)}"}
    assert served.spawn("sync", **environ).code == 0
    assert served.spawn("sync", **endpoint, **environ).code == 0


@pytest.mark.long
def test_a_silent_collector_holds_nothing_up(served: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, within(9):
        done = served.spawn("sync", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert done.code == 0


@pytest.mark.long
def test_a_missing_configuration_and_a_refused_one_are_told_everywhere(served: Lab, bao: Bao) -> None:
    token = served.secret_file("api-token", "generated-api-token")
    served.config["server"]["token"] = {"file": str(token)}
    file = served.config_file
    with running(served) as (process, url):
        until(lambda: ask(url + "/readyz")[0] == 200)
        good = file.read_text()
        file.unlink()
        until(lambda: "refused, missing or not the newest" in ask(url + "/readyz")[1])
        assert ask(url + "/readyz")[0] == 200, "the one in use goes on"
        assert "missing" in ask(url + "/")[1] and "missing" in ask(url + "/status")[1]
        file.write_text(good)
        until(lambda: ask(url + "/readyz")[1] == "ok\n")
        file.write_text(good.replace("owner: lab", "ownr: lab"))
        until(lambda: "refused, missing or not the newest" in ask(url + "/readyz")[1])
        token.unlink()
        assert ask(url + "/status", token="x")[0] == 401
        served.state.rename(served.folder / "moved.db")
        status, told = ask(url + "/readyz")
        assert status == 503 and "was removed or replaced" in told and str(served.folder) not in told
        process.terminate()
        log = process.communicate(timeout=30)[1]
        assert log.count("config.missing") == 1 and "config.refused" in log and log.count("token.unreadable") == 1


def test_a_log_that_nobody_reads_holds_up_no_cycle(served: Lab, bao: Bao) -> None:
    """More lines than a pipe takes (64 KiB, pipe(7)); the daemon ends in good order all the same."""
    bao.put_all("app/many", {f"k{number:03}": str(number) for number in range(300)})
    with running(served) as (process, url):
        until(lambda: len(served.site.values()) == 301, 60)
        bao.put("app/a", v="two")
        until(lambda: ask(url + "/-/sync?job=job", "POST", "generated-token")[0] == 202)
        until(lambda: served.site.values()["a_v"] == "two")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert process.returncode == 0
        assert len(process.stderr.read()) > 60_000, "it stood still"
