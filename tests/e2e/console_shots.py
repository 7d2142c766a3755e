"""Screenshots of every page, light and dark, wide and narrow: `make console-shots` puts them into build/console."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.e2e.test_console import PAGES, logged_in
from tests.lab import Bao, Lab
from tests.support.browser import browser
from tests.support.console_world import seeded
from tests.support.daemon import ask, running
from tests.support.waiting import until

OUT = Path("build/console")
README = Path("build/console/readme")
"""Two of them, as tall as a screen: the README's pictures are copied from here."""


def test_screenshots(lab: Lab, bao: Bao) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    tokens = seeded(lab, bao)
    began = datetime.now(UTC).isoformat()
    with running(lab) as (_, url), browser() as one:
        until(lambda: ask(url + "/readyz")[0] == 200, 60)
        until(lambda: all(row["last_run_at"] > began for row in lab.run("status", "--json").json["jobs"]), 60)
        README.mkdir(exist_ok=True)
        context = one.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        logged_in(page, url, tokens["alice"])
        page.screenshot(path=README / "overview.png")
        page.goto(url + "/secrets?q=pay02")
        page.locator("td[data-head=name] a").first.click()
        page.screenshot(path=README / "secret.png")
        context.close()
        for scheme in ("light", "dark"):
            for width in (1280, 360):
                context = one.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
                page = context.new_page()
                page.goto(url + "/")
                page.screenshot(path=OUT / f"login-{scheme}-{width}.png", full_page=True)
                logged_in(page, url, tokens["alice"])
                for name, path in PAGES.items():
                    page.goto(url + path)
                    page.screenshot(path=OUT / f"{name}-{scheme}-{width}.png", full_page=True)
                page.goto(url + "/secrets?q=pay02")
                page.click("td[data-head=name] a")
                page.screenshot(path=OUT / f"secret-{scheme}-{width}.png", full_page=True)
                context.close()
