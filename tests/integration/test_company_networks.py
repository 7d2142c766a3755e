"""A company's CA and proxy on the way to Wix, Vault and AWS: they work, and what does not says so."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab import Bao, Lab
from tests.support.http_stub import answering
from tests.support.ways import company_ca, forward_proxy, tls_front

LOGIN = "clerk:pass/w:rd"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return company_ca(tmp_path_factory.mktemp("ca"))


def port_of(url: str) -> int:
    return int(urlsplit(url).port or 0)


class Office:
    """One job whose peer of one kind is reached over TLS of the company's CA."""

    def __init__(self, lab: Lab, peer: str, bao: Bao, aws_url: str, aws: Any) -> None:
        self.lab, self.peer = lab, peer
        if peer == "aws":
            aws.create_secret(Name="app/x", SecretString="1")
            lab.aws(aws_url)
            lab.job("job", "aws", {"path": "app/*", "name": "X"})
        else:
            lab.vault(bao)
            bao.put("app/x", v="1")
            lab.job("job", "vault", {"path": f"{bao.mount}/app/x", "field": "v", "name": "X"})
        self.port = port_of({"aws": aws_url, "vault": bao.address, "wix": lab.wix_url}[peer])

    @property
    def settings(self) -> dict[str, Any]:
        config = self.lab.config
        return config["targets"]["shop"] if self.peer == "wix" else config["sources"][self.peer]

    def at(self, url: str) -> None:
        key = {"aws": "endpoint_url", "vault": "address", "wix": "base_url"}[self.peer]
        self.settings[key] = url + urlsplit(self.settings[key]).path

    def code(self) -> int:
        return {"wix": 5}.get(self.peer, 4)


@pytest.fixture(params=["wix", "vault", "aws"])
def office(request: pytest.FixtureRequest, lab: Lab, bao: Bao, aws_url: str, aws: Any) -> Office:
    return Office(lab, request.param, bao, aws_url, aws)


def test_a_companys_ca(office: Office, ca: tuple[Path, ssl.SSLContext]) -> None:
    file, context = ca
    with tls_front(office.port, context) as url:
        office.at(url)
        done = office.lab.run("sync")
        assert done.code == office.code() and "is not trusted (" in done.out + done.err
        assert "certificate)" in done.out + done.err, "with OpenSSL's reason, such as a missing issuer"
        assert "ca_file" in done.out + done.err or "AWS_CA_BUNDLE" in done.out + done.err
        office.settings["ca_file"] = str(file)
        done = office.lab.run("sync")
        assert done.code == 0 and office.lab.site.values() == {"X": "1"}, done.err + done.out


def test_a_portal_in_a_peers_place_is_told_with_where_it_leads(office: Office) -> None:
    with answering(lambda *_: (302, b"", "text/html")) as (url, _):
        office.at(url)
        done = office.lab.run("sync")
    told = done.out + done.err
    assert done.code == office.code() and re.search(f"redirect(s|ed) to {re.escape(url)}", told), told


@pytest.mark.sweep
def test_a_proxy_with_a_password(office: Office, ca: tuple[Path, ssl.SSLContext]) -> None:
    file, context = ca
    with tls_front(office.port, context) as url, forward_proxy(LOGIN) as proxy:
        office.at(url)
        host = proxy.url.removeprefix("http://")
        given = office.lab.secret_file("proxy", f"http://clerk:pass%2Fw%3Ard@{host}")
        office.settings.update(ca_file=str(file), proxy={"file": str(given)})
        done = office.lab.run("sync")
        assert done.code == 0 and office.lab.site.values() == {"X": "1"}, done.err + done.out
        assert proxy.asked and set(proxy.asked) == {urlsplit(url).netloc}
        for wrong in (f"http://clerk:planted@{host}", f"http://{host}"):
            office.lab.secret_file("proxy", wrong)
            done = office.lab.run("sync")
            told = done.out + done.err
            assert done.code == office.code() and "proxy" in told and "planted" not in told, told
            assert "(HTTP 407)" in told, told


@pytest.mark.parametrize(
    ("proxy", "told"),
    [("http://user:planted@proxy:1", "is not written here"), ("socks5://proxy:1", "no address of a proxy"), ("proxy", "no address of a proxy")],
)  # fmt: skip
def test_what_is_no_proxy_in_the_configuration(office: Office, proxy: str, told: str) -> None:
    office.settings["proxy"] = proxy
    done = office.lab.run("check")
    assert done.code == 3 and told in done.err and "planted" not in done.err


def test_a_file_that_holds_no_proxy(office: Office) -> None:
    office.settings["proxy"] = {"file": str(office.lab.secret_file("proxy", "planted-text"))}
    done = office.lab.run("sync")
    assert done.code == 3 and "proxy" in done.err and "planted" not in done.err


def test_a_ca_file_that_is_none(office: Office) -> None:
    office.settings["ca_file"] = str(office.lab.secret_file("ca", "no certificate"))
    done = office.lab.run("sync")
    told = done.out + done.err
    assert done.code in {3, office.code()} and ("ca_file" in told or "certificate" in told or "not set up" in told), (
        told
    )


def test_sixteen_megabytes_in_all_end_no_other_thread(lab: Lab, bao: Bao) -> None:
    """Other sessions of the process (an exporter's) are not counted by our bounds."""
    import requests

    from syncd.transport import urllib3_limits as bounded
    from tests.support.http_stub import answering

    lab.vault(bao)
    bao.put("app/x", v="1")
    lab.job("job", "vault", {"path": f"{bao.mount}/app/*"})
    assert lab.run("sync").code == 0
    with answering(lambda *_: (200, b"x" * 4_000_000, "text/plain")) as (url, _), requests.Session() as session:
        for _ in range(6):
            assert len(session.get(url).content) == 4_000_000
    assert bounded.BOUNDS.left == float("inf")
