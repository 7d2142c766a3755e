"""What a daemon writes into the audit trail: who caused a run, which configuration counts, and its sink on stdout."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.e2e.test_daemon import served  # noqa: F401  # fixture
from tests.lab import Bao, Lab
from tests.support.daemon import ask, running
from tests.support.waiting import until, within


def trail(lab: Lab) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.run("audit", "export").out.splitlines()]


def test_who_caused_what_and_which_configuration_counts(served: Lab, bao: Bao) -> None:  # noqa: F811
    served.config["audit"] = {"stdout": True}
    good = served.config_file.read_text()
    process = served.popen("run", SYNCD_COMMIT="abc123")
    url = "http://" + served.config["server"]["listen"]
    try:
        until(lambda: served.site.values() == {"a_v": "one"})
        until(lambda: ask(url + "/readyz")[0] == 200)
        bao.put("app/b", v="two")
        assert ask(url + "/-/sync?job=job", "POST", "generated-token")[0] == 202
        until(lambda: served.site.values() == {"a_v": "one", "b_v": "two"})
        served.config_file.write_text(good.replace("owner: lab", "ownr: lab"))
        assert ask(url + "/-/reload", "POST", "generated-token")[0] == 422
        served.config_file.write_text(good.replace("every: 1h", "every: 2h"))
        assert ask(url + "/-/reload", "POST", "generated-token")[0] == 200
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=30)
    lines = [json.loads(line) for line in out.splitlines()]
    made = {line["name"]: line for line in lines if line["event"] == "secret.create" and line["outcome"] == "intent"}
    assert made["a_v"]["actor"] == {"kind": "schedule", "id": "job job", "via": "syncd run"}
    assert made["b_v"]["actor"] == {"kind": "token", "id": "token", "via": "POST /-/sync"}
    assert {line["commit"] for line in lines if line["event"] == "secret.create"} == {"abc123"}
    told = [(line["event"], line["actor"]["id"]) for line in lines if line["event"].startswith("config.")]
    assert told == [("config.loaded", "syncd"), ("config.refused", "token"), ("config.loaded", "token")], told
    loaded = [line["detail"]["digest"] for line in lines if line["event"] == "config.loaded"]
    assert {made[name]["config"] for name in made} == {loaded[0]}


def test_a_sink_that_never_answers_holds_up_no_rotation(served: Lab, bao: Bao) -> None:  # noqa: F811
    """It is optional: what it does not take stays in the ledger, and runs go on meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as sink:  # takes connections, and says nothing
        served.config["audit"] = {"url": f"http://127.0.0.1:{sink.getsockname()[1]}/"}
        with running(served) as (_, url):
            until(lambda: served.site.values() == {"a_v": "one"})
            for value in ("two", "three", "four"):
                bao.put("app/a", v=value)
                with within(6):
                    until(lambda: ask(url + "/-/sync?job=job", "POST", "generated-token")[0] == 202)
                    until(lambda value=value: served.site.values() == {"a_v": value})
    assert served.run("audit", "verify").code == 0
