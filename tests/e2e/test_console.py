"""The page in a real browser: whole tasks by mouse and by keyboard, roles, forms, and a hostile browser."""

from __future__ import annotations

import http.client
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import Bao, Lab
from tests.support.browser import browser, chromium
from tests.support.console_world import seeded
from tests.support.daemon import ask, running
from tests.support.waiting import until

PAGES = {
    "overview": "/", "secrets": "/secrets", "governance": "/governance", "activity": "/activity", "jobs": "/jobs",
}  # fmt: skip
XSS = "<img src=x onerror=alert(1)>"
needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")


@dataclass
class World:
    lab: Lab
    bao: Bao
    url: str
    tokens: dict[str, str]


@pytest.fixture
def world(lab: Lab, bao: Bao) -> Iterator[World]:
    tokens = seeded(lab, bao, sites=3, refusing=1, secrets_a_job=6)
    with running(lab) as (_, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        yield World(lab, bao, url, tokens)


def logged_in(page: Any, url: str, token: str) -> None:
    page.goto(url + "/")
    page.fill("input[name=token]", token)
    page.click("button:has-text('Log in')")
    page.wait_for_selector("nav[aria-label=Pages]")


class Client:
    """A browser without a screen: cookies, forms, and whatever headers one likes."""

    def __init__(self, url: str) -> None:
        self.host = url.removeprefix("http://")
        self.cookie = ""

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        body = urllib.parse.urlencode(form) if form is not None else None
        given = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        given |= {"Cookie": self.cookie} if self.cookie else {}
        connection.request(method, path, body, given | {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode()
        set_cookie = answer.getheader("Set-Cookie") or ""
        if set_cookie.startswith("syncd_session="):
            self.cookie = set_cookie.partition(";")[0]
        connection.close()
        if answer.status == 303 and answer.getheader("Location") == "/done":
            return self.ask("GET", "/done", **headers)
        return answer.status, text, answer

    def log_in(self, token: str, **headers: str) -> Any:
        status, _, answer = self.ask("POST", "/login", {"token": token}, **headers)
        assert status == 303, status
        return answer

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.ask("GET", "/")[1])
        assert found
        return found[1]


@needs_browser
def test_whole_tasks_by_mouse(world: World) -> None:
    problems: list[str] = []
    with browser() as one:
        page = one.new_page()
        page.on(
            "console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None
        )
        page.on(
            "request",
            lambda request: None if request.url.startswith((world.url, "data:")) else problems.append(request.url),
        )
        logged_in(page, world.url, world.tokens["alice"])
        # On call: why is a site red, and what is to be done?
        assert "need you" in page.inner_text("h1")
        assert "refused" in page.inner_text("main") and "syncd check --connect" in page.inner_text("main")
        # The security officer releases a held batch, with a reason.
        card = page.locator("li.card:has-text('Held')").first
        card.locator("input[name=reason]").fill("CHG-77")
        card.locator("button:has-text('Release')").click()
        assert "is released" in page.inner_text("[role=status]")
        until(lambda: "stripe_key" in world.lab.site.values(), 20)
        # A developer looks for the version of a key, and rolls it back.
        page.goto(world.url + "/secrets")
        page.fill("input[name=q]", "pay03")
        page.click("button:has-text('Show')")
        page.locator("td[data-head=name] a").first.click()
        assert "2" in page.inner_text("table >> nth=0")
        page.fill("form[action='/rollback'] input[name=reason]", "bad rotation")
        page.click("button:has-text('Roll back')")
        assert "rolled back to 1" in page.inner_text("[role=status]")
        # Who changed it, when, through whom.
        page.goto(world.url + "/activity?event=secret.rolled_back")
        assert "bad rotation" in page.inner_text("main") and "alice" in page.inner_text("main")
        # A pause with a reason, and its end.
        page.goto(world.url + "/jobs")
        page.locator("form[action='/pause'] input[name=reason]").first.fill("maintenance")
        page.locator("button:has-text('Pause')").first.click()
        page.goto(world.url + "/")
        assert "maintenance" in page.inner_text("main")
        page.click("button:has-text('Resume')")
        with page.expect_download() as download:
            page.goto(world.url + "/governance")
            page.click("a:has-text('one value in two places')")
        text = download.value.path().read_text()
        assert download.value.suggested_filename == "syncd-report-duplicates.csv"
        assert text.startswith("rule,then,name,target") and "PAY_twin_api_key" in text
        page.click("button:has-text('Log out')")
        page.wait_for_selector("input[name=token]")
    assert problems == []


@pytest.mark.browser
@needs_browser
def test_by_keyboard_alone(world: World) -> None:
    with browser() as one:
        page = one.new_page()
        page.goto(world.url + "/")
        press_until(page, "input[name=token]")
        page.keyboard.type(world.tokens["alice"])
        page.keyboard.press("Enter")
        page.wait_for_selector("nav[aria-label=Pages]")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        press_until(page, "form[action='/release'] input[name=reason]")
        page.keyboard.type("CHG-1")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=status]")
        assert "is released" in page.inner_text("[role=status]")


def press_until(page: Any, selector: str, most: int = 80) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no way to {selector} by keyboard")


@pytest.mark.browser
@needs_browser
def test_axe_finds_nothing(world: World) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found: dict[str, list[str]] = {}
    with browser() as one:
        for scheme in ("light", "dark"):
            for width in (1280, 360):
                context = one.new_context(
                    color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True
                )
                page = context.new_page()
                page.goto(world.url + "/")
                look(Axe(), page, f"login {scheme} {width}", found)
                logged_in(page, world.url, world.tokens["alice"])
                for name, path in PAGES.items():
                    page.goto(world.url + path)
                    look(Axe(), page, f"{name} {scheme} {width}", found)
                    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    assert wide <= 0, f"{name} at {width} px scrolls sideways by {wide}"
                page.goto(world.url + "/secrets?q=pay02")
                page.locator("td[data-head=name] a").first.click()
                look(Axe(), page, f"secret {scheme} {width}", found)
                context.close()
    assert found == {}


def look(axe: Any, page: Any, where: str, found: dict[str, list[str]]) -> None:
    violations = axe.run(page).response["violations"]
    if violations:
        found[where] = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in violations]


@pytest.mark.browser
def test_who_may_what(world: World) -> None:
    reader, alice = Client(world.url), Client(world.url)
    answer = reader.log_in(world.tokens["reader"])
    flags = answer.getheader("Set-Cookie").lower()
    assert "httponly" in flags and "samesite=lax" in flags and "secure" not in flags
    assert (
        "secure"
        in Client(world.url).log_in(world.tokens["reader"], X_Forwarded_Proto="https").getheader("Set-Cookie").lower()
    )
    for path in PAGES.values():
        status, text, answer = reader.ask("GET", path)
        assert status == 200 and "<script" not in text and "PAY_" in text + "PAY_"
        policy = answer.getheader("Content-Security-Policy")
        assert (
            "default-src 'none'" in policy
            and "frame-ancestors 'none'" in policy
            and answer.getheader("X-Frame-Options") == "DENY"
        )
    batch = world.lab.run("held", "--json").json[0]["batch"]
    given = {"batch": batch, "reason": "x", "csrf": reader.csrf()}
    status, text, _ = reader.ask("POST", "/release", given)
    assert status == 403 and "may not release" in text
    alice.log_in(world.tokens["alice"])
    for form in ({"batch": batch, "reason": "x"}, given, {**given, "csrf": ""}):
        status, text, _ = alice.ask("POST", "/release", form)
        assert status == 403, "a form without, or with another session's field"
        assert "You are logged in as alice; nothing was done." in text
    genuine = {**given, "csrf": alice.csrf()}
    assert alice.ask("POST", "/release", genuine, Sec_Fetch_Site="cross-site")[0] == 403
    assert Client(world.url).ask("POST", "/release", genuine)[0] == 303, "a stranger is led to the login"
    status, text, _ = alice.ask("POST", "/release", {**genuine, "reason": " "})
    assert status == 400 and "needs a reason" in text
    assert alice.ask("POST", "/release", {**genuine, "batch": "0" * 12})[0] == 400
    assert alice.ask("POST", "/release", genuine)[0] == 200
    denied = world.lab.run("audit", "show", "--event", "access.denied", "--json").json
    assert {line["actor"]["id"] for line in denied} >= {"reader", "alice", "anonymous"}


@pytest.mark.browser
def test_a_page_that_is_read_anew_does_nothing_again(world: World) -> None:
    one, other = Client(world.url), Client(world.url)
    one.log_in(world.tokens["alice"])
    other.log_in(world.tokens["alice"])
    assert one.ask("GET", "/done")[0] == 303, "nothing was done yet"
    form = {"scope": "job", "name": "payments", "reason": "reload", "csrf": one.csrf()}
    assert "payments is paused" in one.ask("POST", "/pause", form)[1]
    for _ in range(2):
        status, text, _ = one.ask("GET", "/done")
        assert status == 200 and "payments is paused" in text and "/jobs" in text
    assert other.ask("GET", "/done")[0] == 303, "it is of that session alone"
    lines = [line for line in world.lab.run("audit", "show", "--json").json if line["event"] == "job.paused"]
    assert len(lines) == 1


@pytest.mark.browser
@pytest.mark.parametrize(("deed", "form", "page"), [
    ("/pause", {"scope": "job", "name": "payments"}, "/jobs"), ("/release", {"batch": "0" * 12}, ""),
    ("/freeze", {"site": "a-site", "name": "PAY_weak_v"}, "/secrets/a-site/PAY_weak_v"),
])  # fmt: skip
def test_who_is_logged_out_meanwhile_is_told_so(world: World, deed: str, form: dict[str, str], page: str) -> None:
    form |= {"reason": "x", "csrf": "of-before"}
    status, _, answer = Client(world.url).ask("POST", deed, form)
    to = answer.getheader("Location") or ""
    assert status == 303 and to.startswith("/?to=") and "ended=1" in to
    text = Client(world.url).ask("GET", to)[1]
    assert "nothing was done" in text and 'name="token"' in text
    assert not page or f'value="{page}"' in text, "and leads back to the page of the form"


@pytest.mark.browser
def test_a_job_that_rests_is_not_told_as_run(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    for deed, form, title in (
        ("/sync", {"job": "payments"}, "Asked to run"),
        ("/pause", {"scope": "job", "name": "payments", "reason": "x"}, "Done"),
        ("/sync", {"job": "payments"}, "It waits"),
        ("/resume", {"scope": "job", "name": "payments"}, "Done"),
    ):
        text = one.ask("POST", deed, {**form, "csrf": one.csrf()})[1]
        assert f"<h1>{title}</h1>" in text, text


@pytest.mark.browser
def test_a_secrets_page_says_who_froze_it_and_what_its_source_has(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    row = next(row for row in world.lab.run("state", "list", "--json").json if row["status"] == "synced")
    page = f"/secrets/{world.lab.site_id}/{row['name']}"
    assert f"last seen with version {row['version']}" in one.ask("GET", page)[1]
    form = {"site": world.lab.site_id, "name": row["name"], "until": "2d", "reason": "moves on Friday"}
    assert one.ask("POST", "/freeze", {**form, "csrf": one.csrf()})[0] == 200
    assert "by alice: moves on Friday" in one.ask("GET", page)[1]
    late = one.ask("POST", "/freeze", {**form, "until": "99999d", "csrf": one.csrf()})[1]
    assert f"Not done: freeze {row['name']}" in late and "within ten years" in late


@pytest.mark.browser
def test_the_page_of_what_was_deleted_says_by_whom_and_why(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    row = next(
        row
        for row in world.lab.run("state", "list", "--target", "shop", "--json").json
        if row["status"] in {"orphan", "missing"}
    )
    gone = world.lab.run(
        "--as", "ines", "state", "forget", row["name"], "--delete", "--reason", "a slip", "--target", row["target"]
    )
    assert gone.code == 0, gone.err
    status, text, *_ = one.ask("GET", f"/secrets/{world.lab.site_id}/{row['name']}")
    assert status == 404 and "secret.delete done" in text and "by ines" in text and "a slip" in text, text.partition(
        "<main"
    )[2]
    assert "secret.delete" in one.ask("GET", f"/activity?event=deleted&name={row['name']}")[1]
    status, text, *_ = one.ask("GET", f"/secrets/{world.lab.site_id}/NEVER_THERE")
    assert status == 404 and "last that happened" not in text


@pytest.mark.browser
def test_a_secret_that_is_rolled_back_tells_what_its_source_has(world: World) -> None:
    # Its third version: the world made two.
    world.bao.put("app/pay03", api_key="the-newest-value-of-three")
    world.lab.run("sync", "payments")
    rows = world.lab.run("state", "list", "--json").json
    row = next(row for row in rows if row["path"].endswith("app/pay03") and row["version"] == "3")
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    form = {"what": f"{row['source']}:{row['path']}", "to": "2", "until": "2h", "reason": "it broke"}
    assert one.ask("POST", "/rollback", {**form, "csrf": one.csrf()})[0] == 200
    page = f"/secrets/{world.lab.site_id}/{row['name']}"
    until(lambda: "which goes out when the rollback ends" in one.ask("GET", page)[1], 30)
    assert "last seen with version 3, which" in one.ask("GET", page)[1]


@pytest.mark.browser
def test_the_page_of_what_never_came_names_each_site(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["reader"])
    rows = world.lab.run("report", "--format", "json").json["never_arrived"]
    targets = {row["target"] for row in rows if row["name"] == "PAY_weak_v"}
    text = one.ask("GET", f"/secrets/{world.lab.site_id}/PAY_weak_v")[1]
    table = text.partition("Where it is")[2].partition("</table>")[0]
    assert len(targets) > 2 and all(f">{target}<" in table for target in targets) and "It never came" not in table


@pytest.mark.browser
def test_the_trail_has_older_pages(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    # A page holds 200 lines, so some hundred changes make several.
    for number in range(120):
        world.bao.put(f"app/more{number}", v="1")
    assert world.lab.run("sync", "payments").code in {0, 1, 5, 6}
    lines = world.lab.run("audit", "export").out.splitlines()
    assert len(lines) > 400
    path, seen = "/activity", list[str]()
    while path:
        text = one.ask("GET", path)[1]
        seen += re.findall(r'<tr><td data-head="at">', text)
        older = re.search(r'<a href="(/activity[^"]*before=[^"]*)">Older', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(world.lab.run("audit", "export").out.splitlines()), "each line once"
    for odd in ("x", "a|b|c", "2026-01-01|s|9" * 3, "2026-01-01T00:00:00Z|s|-1"):
        assert one.ask("GET", "/activity?before=" + urllib.parse.quote(odd))[0] in {200, 400}
    found = one.ask("GET", "/activity?event=config")[1]
    assert "config.loaded" in found and "secret.create</" not in found


@pytest.mark.browser
def test_what_was_refused_keeps_what_was_written(world: World) -> None:
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    wrote = {"scope": "job", "name": "payments", "until": "tomorrow", "reason": XSS, "csrf": one.csrf()}
    status, text, _ = one.ask("POST", "/pause", wrote)
    assert status == 400 and 'value="tomorrow"' in text and 'action="/pause"' in text and "<img" not in text
    assert 'name="scope" value="job"' in text and 'href="/jobs"' in text
    for method, path, code in (("GET", "/pause", 405), ("GET", "/nosuch", 404), ("POST", "/secrets", 405)):
        status, text, answer = one.ask(method, path, Accept="text/html")
        assert status == code and 'href="/"' in text and answer.getheader("Content-Security-Policy")
        status, text, _ = one.ask(method, path)
        assert status == code and "<" not in text


@pytest.mark.browser
def test_rights_end_at_a_label(world: World) -> None:
    team = Client(world.url)
    team.log_in(world.tokens["shop-team"])
    assert "site01" not in team.ask("GET", "/")[1] and "site01" not in team.ask("GET", "/secrets")[1]
    assert team.ask("GET", "/secrets?target=site01")[1].count('data-head="status"') == 0
    elsewhere = next(
        one["site"]
        for one in world.lab.run("state", "export", "--full").json["tables"]["syncd_records"]
        if one["target"] == "site02"
    )
    assert team.ask("GET", f"/secrets/{elsewhere}/PAY_pay00_api_key")[0] == 404
    assert "beyond your rights" in team.ask("GET", "/jobs")[1], "a button that is refused is not shown"
    assert team.ask("GET", "/report.csv?part=held")[0] == 200
    assert team.ask("GET", "/report.csv?part=passwords")[0] == 400
    assert team.ask("POST", "/pause", {"scope": "all", "reason": "x", "csrf": team.csrf()})[0] == 403
    lead = Client(world.url)
    lead.log_in(f" {world.tokens['shop-lead']} ")
    text = lead.ask("GET", f"/secrets/{world.lab.site_id}/PAY_pay05_api_key")[1]
    assert "to do more here needs the right freeze (" in text, "what is beyond the rights is said before it is tried"


@pytest.mark.browser
def test_a_session_ends_and_is_never_fixed_or_replayed(world: World) -> None:
    one = Client(world.url)
    one.cookie = "syncd_session=chosen-by-the-attacker"
    one.log_in(world.tokens["alice"])
    assert one.cookie != "syncd_session=chosen-by-the-attacker"
    kept = one.cookie
    assert one.ask("POST", "/logout", {"csrf": "wrong"})[0] == 303 and "Log out" in one.ask("GET", "/")[1]
    assert one.ask("POST", "/logout", {"csrf": one.csrf()})[0] == 303
    one.cookie = kept
    assert "Log out" not in one.ask("GET", "/")[1], "a cookie that was kept is worth nothing after the log-out"
    one.log_in(world.tokens["alice"])
    world.lab.secret_file("token-alice", "another-token-by-now")
    assert "Log out" not in one.ask("GET", "/")[1], "the session ends with its token"
    assert world.tokens["alice"] not in world.lab.state.read_bytes().decode("latin-1")


@pytest.mark.browser
def test_logins_are_limited(world: World) -> None:
    guess = Client(world.url)
    codes = [guess.ask("POST", "/login", {"token": f"guess-{number}"})[0] for number in range(12)]
    assert codes[:10] == [401] * 10 and codes[-1] == 429
    assert guess.ask("POST", "/login", {"token": world.tokens["alice"]})[0] == 429


@pytest.mark.browser
@needs_browser
def test_names_and_reasons_are_text(world: World) -> None:
    world.bao.put("app/" + "x-<b>bold</b>", v="1")
    one = Client(world.url)
    one.log_in(world.tokens["alice"])
    assert one.ask("POST", "/pause", {"scope": "job", "name": "payments", "reason": XSS, "csrf": one.csrf()})[0] == 200
    one.ask("POST", "/resume", {"scope": "job", "name": "payments", "csrf": one.csrf()})
    for path in (
        "/",
        "/secrets?q=" + urllib.parse.quote(XSS),
        "/activity",
        "/governance",
        "/secrets/x/" + urllib.parse.quote(XSS, safe=""),
    ):
        _, text, _ = one.ask("GET", path)
        assert "<img" not in text and "<b>" not in text, path
    with browser() as chrome:
        page, alerts = chrome.new_page(), []
        page.on("dialog", lambda dialog: alerts.append(dialog.message))
        logged_in(page, world.url, world.tokens["alice"])
        page.goto(world.url + "/activity?event=job.paused")
        assert XSS in page.inner_text("main") and not alerts


@pytest.mark.browser
def test_no_redirect_leads_elsewhere(world: World) -> None:
    one = Client(world.url)
    for path in ("//evil.example", "/login?next=//evil.example", "/secrets", "/secrets/"):
        status, _, answer = one.ask("GET", path, Host="evil.example", X_Forwarded_Host="evil.example")
        assert status in {200, 303, 404, 405}
        assert (answer.getheader("Location") or "/") in {"/", "/?to=%2Fsecrets"}
    assert one.log_in(world.tokens["alice"], Host="evil.example").getheader("Location") == "/"


@pytest.mark.browser
def test_the_proxy_is_believed_from_its_address_alone(lab: Lab, bao: Bao) -> None:
    seeded(lab, bao, sites=1, refusing=0, secrets_a_job=6)
    proxy = {
        "header": "X-Forwarded-User",
        "from": ["127.0.0.0/8"],
        "may": {"ann@example.com": ["read", "pause"], "*": ["read"]},
    }
    lab.config["server"] |= {"proxy": proxy, "metrics": "token"}
    with running(lab) as (_, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        one = Client(url)
        assert "ann@example.com" in one.ask("GET", "/", X_Forwarded_User="ann@example.com")[1]
        assert "Jobs and sites" in one.ask("GET", "/", X_Forwarded_User="bob")[1]
        found = re.search(
            r'name="csrf" value="([0-9a-f]+)"', one.ask("GET", "/", X_Forwarded_User="ann@example.com")[1]
        )
        form = {"scope": "job", "name": "feeds", "reason": "x", "csrf": found[1] if found else ""}
        assert one.ask("POST", "/pause", {**form, "csrf": ""}, X_Forwarded_User="ann@example.com")[0] == 403
        assert one.ask("POST", "/pause", form, X_Forwarded_User="ann@example.com")[0] == 200
        assert one.ask("POST", "/pause", form, X_Forwarded_User="bob")[0] == 403
        assert ask(url + "/metrics")[0] == 401
    lab.config["server"]["proxy"]["from"] = ["10.0.0.0/8"]
    with running(lab) as (_, url):
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        assert "Log in" in Client(url).ask("GET", "/", X_Forwarded_User="ann@example.com")[1]


@pytest.mark.browser
def test_slow_clients_hold_up_nobody(world: World) -> None:
    import socket

    host, _, port = world.url.removeprefix("http://").partition(":")
    slow = [socket.create_connection((host, int(port)), timeout=5) for _ in range(1000)]
    for one in slow:
        threading.Thread(target=drip, args=(one,), daemon=True).start()
    assert all(ask(world.url + "/livez")[0] == 200 for _ in range(20))
    for one in slow:
        one.close()


def drip(one: Any) -> None:
    try:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    except OSError:
        pass
