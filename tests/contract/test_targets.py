"""One contract for both targets: the Wix client over HTTP against the emulator, and the fake without HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.bootstrap.process import now
from syncd.domain import SecretValue
from syncd.domain.ports import Target
from syncd.domain.write_window import SLACK
from syncd.errors import NameTaken, SecretGone, SecretRefused, TargetDenied, TargetUnavailable
from syncd.ledger.engine import sqlite_engine
from syncd.ledger.request_quota import Quota, RequestRate
from syncd.ledger.store import Ledger
from syncd.sandbox.wix_server import Wix, serving
from syncd.sandbox.wix_site import Site
from syncd.targets.wix.auth import ApiKeyAuth
from syncd.targets.wix.retries import Line
from syncd.targets.wix.target import WixTarget
from syncd.transport.httpx_client import client_for
from tests.fakes import FakeClock, FakeTarget

VALUE = SecretValue("planted value \x00\r\n\U0001f511")


class TargetContract:
    target: Target
    site: Site

    def test_create_list_update_delete(self) -> None:
        written = self.target.create("NAME_+=-@#$1", VALUE, "described")
        (listed,) = self.target.list()
        assert (listed.id, listed.name, listed.description) == (written.id, "NAME_+=-@#$1", "described")
        assert written.window is not None and listed.updated_at is not None
        assert written.window.start - SLACK <= listed.updated_at <= written.window.end + SLACK
        assert self.target.value("NAME_+=-@#$1") == VALUE
        self.target.update(written.id, name="OTHER", value=SecretValue("new"), description="changed")
        (listed,) = self.target.list()
        assert (listed.id, listed.name, listed.description) == (written.id, "OTHER", "changed")
        assert self.site.values() == {"OTHER": "new"}
        self.target.delete(written.id)
        assert self.target.list() == ()
        assert self.target.value("OTHER") is None

    def test_an_update_keeps_what_it_does_not_name(self) -> None:
        written = self.target.create("A", VALUE, "d")
        self.target.update(written.id, name=None, value=None, description="e")
        assert self.site.values() == {"A": VALUE.reveal()}

    def test_a_name_is_taken_once(self) -> None:
        self.target.create("A", VALUE, "")
        with pytest.raises(NameTaken):
            self.target.create("A", VALUE, "")

    def test_what_is_gone_is_gone(self) -> None:
        written = self.target.create("A", VALUE, "")
        self.target.delete(written.id)
        self.target.delete(written.id)
        with pytest.raises(SecretGone):
            self.target.update(written.id, name=None, value=VALUE, description="")

    @pytest.mark.parametrize(
        ("name", "value"), [("a b", "v"), ("x" * 51, "v"), ("WiXy", "v"), ("A", ""), ("A", "x" * 3501)]
    )
    def test_what_breaks_the_law_is_refused_without_showing_it(self, name: str, value: str) -> None:
        with pytest.raises(SecretRefused) as caught:
            self.target.create(name, SecretValue(value), "")
        assert not caught.value.maybe_done
        assert "xxx" not in str(caught.value)

    def test_reading_may_be_forbidden(self) -> None:
        self.target.create("A", VALUE, "")
        self.site.options.may_read = False
        with pytest.raises(TargetDenied):
            self.target.value("A")


class TestFake(TargetContract):
    @pytest.fixture(autouse=True)
    def _fake(self) -> None:
        clock = FakeClock()
        self.site = Site(clock)
        self.target = FakeTarget(self.site, clock)


class TestWix(TargetContract):
    @pytest.fixture(autouse=True)
    def _real(self) -> Iterator[None]:
        self.wix = Wix()
        engine = sqlite_engine(None)
        ledger = Ledger(engine, "in memory", None)
        with serving(self.wix) as url:
            key = self.wix.issue_key("site-1")
            self.site = self.wix.site("site-1")
            quota = Quota(engine, "", RequestRate(site="site-1", limit=1000, window=timedelta(seconds=1)), now)
            client = client_for(url, seconds=8, connections=4)
            line = Line(
                name="shop",
                site="site-1",
                base_url=url,
                client=client,
                auth=ApiKeyAuth("site-1", lambda: SecretValue(key)),
                quota=quota,
                window_seconds=0.3,
                stop=threading.Event(),
            )
            self.line, self.target = line, WixTarget(line)
            yield
            client.close()
        ledger.close()

    @pytest.mark.parametrize("kind", ["500", "503", "reset_before", "html", "429", "slow"])
    def test_reads_are_tried_again(self, kind: str) -> None:
        self.wix.fault(kind, "GET", seconds=0.05)
        assert self.target.list() == ()

    @pytest.mark.parametrize("kind", ["reset_after", "504_after", "invalid_json", "truncated"])
    def test_a_create_is_never_sent_twice(self, kind: str) -> None:
        self.wix.fault(kind, "POST")
        with pytest.raises(TargetUnavailable) as caught:
            self.target.create("A", VALUE, "")
        assert caught.value.maybe_done
        assert self.wix.count("POST") == 1

    @pytest.mark.parametrize("kind", ["429", "429_retry_after"])
    def test_a_create_that_was_surely_not_taken_is_sent_again(self, kind: str) -> None:
        self.wix.fault(kind, "POST", seconds=0.1)
        assert self.target.create("A", VALUE, "").id
        assert self.wix.count("POST") == 2

    def test_an_update_says_when_an_earlier_try_may_still_commit(self) -> None:
        written = self.target.create("A", VALUE, "")
        self.wix.fault("late", "PATCH")
        assert self.target.update(written.id, name=None, value=VALUE, description="").lost_tries == 1

    def test_a_redirect_is_refused_and_the_key_stays_here(self) -> None:
        import http.server

        asked = []

        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(dict(self.headers))
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        elsewhere = f"http://127.0.0.1:{server.server_port}"
        self.target = WixTarget(replace(self.line, base_url=elsewhere))
        with pytest.raises(TargetDenied, match="redirected"):
            self.target.list()
        assert len(asked) == 1
        server.shutdown()
        server.server_close()

    def test_the_request_id_is_kept(self) -> None:
        assert self.target.create("A", VALUE, "").request_id
        with pytest.raises(NameTaken) as caught:
            self.target.create("A", VALUE, "")
        assert caught.value.request_id


del TargetContract
