"""The daemon's HTTP side alone: the page, safe headers, and clients that are slow, many or hostile."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.sandbox.launchers import free_ports
from syncd.web import server as serving
from syncd.web.principal import ALL, Principal
from tests.support.waiting import until, within

NOW = datetime.now(UTC)
THREADS = 40
"""As many requests at a time wait in threads: the default of anyio."""
TOLD: dict[str, Any] = {
    "jobs": [
        {
            "job": "<script>alert(1)</script>",
            "next_run_at": "2030-01-01T00:00:00+00:00",
            "targets": [
                {
                    "target": "shop", "last_run_at": "2026-01-01T00:00:00+00:00", "last_success_at": None,
                    "exit_code": 4, "message": "source vault is <sealed>",
                }
            ],
        },
        {"job": "new", "next_run_at": None, "targets": []},
    ],
    "secrets": {"synced": 1234, "quarantined": 2},
}  # fmt: skip


class Service:
    """Says what it is told to."""

    wrong = ""

    def configuration(self) -> str:
        return self.wrong

    def ready(self) -> list[str]:
        return ["source vault: no cycle has reached it in good order yet"]

    def status(self, who: Any) -> dict[str, Any]:
        return {"ready": False, "configuration": "", **(TOLD if who else {"jobs": [], "secrets": TOLD["secrets"]})}

    def metrics(self) -> bytes:
        return b"one 1\n"

    def metrics_are_open(self) -> bool:
        return True

    def by_token(self, token: str) -> Principal | None:
        return Principal(name="token", kind="token", may=ALL) if token == "generated-token" else None

    def by_proxy(self, headers: Any, address: str) -> None:
        return None

    def by_session(self, session: str) -> None:
        return None

    def denied(self, who: Any, what: str) -> None:
        pass

    def overview(self, who: Any) -> dict[str, Any]:
        return {
            "now": NOW,
            "total": 1236,
            "statuses": TOLD["secrets"],
            "sites": 1,
            "as_of": NOW,
            "held": [],
            "attention": [
                {
                    "kind": "failed",
                    "what": "source vault is <sealed>",
                    "where": "<script>alert(1)</script>",
                    "targets": "shop",
                    "since": NOW,
                    "fix": "unseal it",
                }
            ],
            "matrix": [],
        }

    def trigger(self, job: str, who: Any) -> str:
        return "started" if job == "known" else ""

    def wake(self, paths: Any, who: Any, expected: Any = None) -> str:
        return ""

    def reload(self, who: Any) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.6)
    number = free_ports(1)
    one = serving.HttpServer(Service(), f"127.0.0.1:{number}")
    until_answered(number)
    yield number
    one.stop()


def until_answered(port: int) -> None:
    def answers() -> bool:
        with suppress(OSError):
            return ask(port, "/livez")[0] == 200
        return False

    until(answers)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {key.lower(): value for key, value in answer.getheaders()}
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/livez", "/status"])
def test_an_answer_may_take_longer_than_a_request(port: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A freeze waits for its site, and a plan asks all of them: what was done is told."""
    answer = Service.status

    def slow(self: Service, *args: Any, **more: Any) -> Any:
        threading.Event().wait(1.5)
        return answer(self, *args, **more)

    monkeypatch.setattr(Service, "status", slow)
    assert ask(port, path, Authorization="Bearer generated-token")[0] in {200, 401, 503}


def test_the_page_shows_counts_to_all_and_names_to_who_knows_the_token(port: int) -> None:
    status, text, headers = ask(port, "/")
    assert status == 200 and "1,234" in text and "quarantined" in text
    assert "shop" not in text and "vault" not in text and "Not ready yet." in text
    assert headers["content-type"].startswith("text/html")
    known = ask(port, "/", Authorization="Bearer generated-token")[1]
    assert "no cycle has reached it" in known and "shop" in known and "unseal it" in known
    assert "source vault is &lt;sealed&gt;" in known and "&lt;script&gt;" in known and "<script" not in known


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/status", "/nothing", "/-/sync"])
def test_every_answer_has_safe_headers(port: int, path: str) -> None:
    headers = ask(port, path)[2]
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/api/v1/nosuch", 404), ("DELETE", "/api/v1/overview", 405), ("GET", "/api/v2/status", 404)],
)
def test_what_the_api_does_not_have_is_said_in_json(port: int, method: str, path: str, code: int) -> None:
    status, text, headers = ask(port, path, method, Accept="text/html")
    assert status == code and headers["content-type"] == "application/json"
    assert set(json.loads(text)) == {"error", "fix"} and (code == 404 or "GET" in headers["allow"])


def test_slow_and_silent_clients_are_dropped_and_hold_nobody_up(port: int) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(300)]
        for index, one in enumerate(held):
            if index % 3:
                one.sendall(b"POST /-/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"[: 20 * (index % 3 + 1)])
        with within(2):
            assert ask(port, "/livez")[0] == 200
        for one in held:
            one.settimeout(5)
            try:
                assert one.recv(100) in (b"",) or b"400" in one.recv(100)
            except ConnectionResetError:
                pass
    assert ask(port, "/livez")[0] == 200


def test_a_body_that_drips_is_dropped(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        head = "POST /-/sync?job=known HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer generated-token\r\nContent-Length: 900\r\n\r\n"
        one.sendall(head.encode())
        gone = False
        pause = threading.Event()
        for _ in range(40):
            try:
                one.sendall(b"x")
                one.settimeout(0.05)
                gone = one.recv(10) == b""
            except TimeoutError:
                pause.wait(0.02)
            except OSError:
                gone = True
            if gone:
                break
        assert gone


def test_too_much_is_refused(port: int) -> None:
    assert ask(port, "/-/sync?job=known", "POST", Authorization="Bearer generated-token")[0] == 202
    assert ask(port, "/-/sync?job=known", "POST", Authorization="Bearer wrong")[0] == 401
    try:
        assert ask(port, "/livez", **{"X-Long": "x" * 4_000_000})[0] == 400
    except ConnectionError:
        pass  # it did not wait for the rest
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/hooks/vault-audit", b"x" * 2_000_000, {"Authorization": "Bearer generated-token"})
        assert connection.getresponse().status == 413
    except (ConnectionResetError, BrokenPipeError):
        pass  # it did not wait for the rest
    finally:
        connection.close()


def test_a_connection_serves_many_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for _ in range(30):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok\n"
    connection.close()


def test_it_says_that_it_lives_while_every_thread_waits(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[int] = []
    go_on = threading.Event()

    def ready(_service: Service) -> list[str]:
        arrived.append(1)
        go_on.wait(20)
        return []

    def ask_whether_ready() -> None:
        with suppress(OSError):
            ask(port, "/readyz")

    monkeypatch.setattr(Service, "ready", ready)
    askers = [threading.Thread(target=ask_whether_ready, daemon=True) for _ in range(THREADS + 5)]
    try:
        for asker in askers:
            asker.start()
        until(lambda: len(arrived) == THREADS, 10)
        assert ask(port, "/livez")[0] == 200
    finally:
        go_on.set()
        for asker in askers:
            asker.join()
