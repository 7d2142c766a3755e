"""Find out who a caller is (token, user of an authenticating proxy, or session) and what the caller may do."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from syncd.bootstrap.app import App
from syncd.config.fields import Credential
from syncd.config.server import Only
from syncd.daemon.generations import Generations
from syncd.domain.audit import CAUSE, Actor, Cause, Entry
from syncd.domain.matching import Glob
from syncd.errors import ConfigError, SyncdError
from syncd.telemetry.logs import logger
from syncd.web.auth import csrf_of
from syncd.web.principal import ALL, Principal

LONGEST_USER = 200
"""Most characters of a user's name that is accepted from the authenticating proxy."""
ANONYMOUS_SECONDS = 60.0
"""Seconds after a stranger's refusal for which further refusals of strangers are only counted.

The first refusal is a line of the audit trail at once, and the count is one more line.
"""

STRANGER = Actor("token", "anonymous", "server")


class ServerAccounts:
    """Implement `syncd.web.service.Accounts`, the protocol that `syncd.web` gets from the daemon."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._unreadable: set[str] = set()
        self._strangers, self._turn = 0, threading.Lock()
        self._counting: threading.Timer | None = None

    @property
    def _app(self) -> App:
        return self._generations.current.app

    def by_token(self, token: str) -> Principal | None:
        """The principal that a token belongs to, as configured now."""
        given = token.encode("utf-8", "surrogatepass")
        found = None
        for principal, credential in self._tokens():
            known = self._read(principal.name, credential)
            # All tokens are compared, also after a match: the time taken tells nothing about which one it was.
            if known is not None and hmac.compare_digest(given, known.encode()):
                found = principal
        return found

    def _tokens(self) -> Iterator[tuple[Principal, Credential]]:
        server = self._app.settings.server
        if server is None:
            return
        if server.token is not None:
            yield Principal(name="token", kind="token", may=ALL), server.token
        for item in server.tokens:
            yield (
                Principal(name=item.name, kind="token", may=frozenset(item.may), targets=self._targets(item.only)),
                item.token,
            )

    def _targets(self, only: Only | None) -> frozenset[str] | None:
        if only is None:
            return None
        targets = self._app.settings.targets
        return frozenset(
            name
            for name, target in targets.items()
            if all(
                any(Glob(text).matches(target.labels.get(key, "")) for text in texts)
                for key, texts in only.label.items()
            )
        )

    def _read(self, name: str, credential: Credential) -> str | None:
        """Return the token as it is now; None if it cannot be read, and then it lets nobody in.

        The failure is logged once, and again only if the token could be read in between.
        """
        try:
            text = credential.read(f"server.tokens ({name})" if name != "token" else "server.token").reveal()
        except ConfigError as error:
            if name not in self._unreadable:
                logger().error("token.unreadable", error=error.message, hint=error.hint)
            self._unreadable.add(name)
            return None
        self._unreadable.discard(name)
        return text

    def by_proxy(self, headers: Mapping[str, str], address: str) -> Principal | None:
        """Return the user whom the authenticating proxy names; None for anybody else, and for a user without any right.

        The proxy's header is believed only from the addresses that are configured for the proxy.
        """
        server = self._app.settings.server
        proxy = server.proxy if server else None
        if proxy is None:
            return None
        user = headers.get(proxy.header.lower(), "")
        if not user or len(user) > LONGEST_USER or not user.isprintable() or not _is_within(address, proxy.from_):
            return None
        may = proxy.may.get(user, proxy.may.get("*"))
        # A browser behind the proxy sends forms by itself: they need a field that only our own pages hold.
        csrf = self._app.runtime.fingerprint(f"form {user}".encode())[:32]
        return Principal(name=user, kind="proxy", may=frozenset(may), csrf=csrf) if may else None

    def by_session(self, session: str) -> Principal | None:
        """Return the principal of a session; None once it has ended, or its token was changed or removed.

        Raises `LedgerError`.
        """
        known = self._app.ledger.sessions.of(session)
        if known is None:
            return None
        name, credential = known
        for principal, configured in self._tokens():
            text = self._read(name, configured) if principal.name == name else None
            # By the token as it is now: one that was rotated or removed ends its sessions.
            if text is not None and hmac.compare_digest(self._keyed(text), credential):
                return replace(principal, kind="session", csrf=csrf_of(session))
        return None

    def log_in(self, token: str) -> str | None:
        """Begin a session with a new id; the id in a cookie that the client sent is never taken over.

        Returns: the id; None for an unknown token. Raises `LedgerError`.
        """
        principal = self.by_token(token)
        if principal is None:
            return None
        return self._app.ledger.sessions.begin(principal.name, self._keyed(token))

    def log_out(self, session: str) -> None:
        """End a session. Raises `LedgerError`."""
        self._app.ledger.sessions.end(session)

    def _keyed(self, token: str) -> str:
        # Keyed: whoever reads the ledger can try no guesses of a token on it.
        return self._app.runtime.fingerprint(f"token {token}".encode())

    def denied(self, who: Principal | None, what: str) -> None:
        """Write a refusal to the audit trail: each one of a known caller, but not each one of a stranger.

        The first refusal of a stranger is a line at once. Those of the next minute are counted, and `end_count` writes
        their number as one line. A ledger that cannot be written raises nothing here.
        """
        if who is not None:
            self._note(who.actor(what), {"what": what})
            return
        # A line for each would let anybody fill the trail.
        with self._turn:
            if self._counting is not None:
                self._strangers += 1
                return
            self._counting = threading.Timer(ANONYMOUS_SECONDS, self.end_count)
            # A stop does not wait for the minute: it calls `end_count` itself.
            self._counting.daemon = True
            self._counting.start()
        self._note(STRANGER, {"count": 1})

    def end_count(self) -> None:
        """Write one line to the audit trail: how many requests without a valid token came since the line before.

        Called when the minute, or the service, ends.
        """
        with self._turn:
            count, self._strangers = self._strangers, 0
            if self._counting is not None:
                self._counting.cancel()
            self._counting = None
        if count:
            self._note(STRANGER, {"count": count})

    def _note(self, actor: Actor, detail: Mapping[str, object]) -> None:
        CAUSE.set(Cause(actor=actor, config=self._app.config_digest))
        with suppress(SyncdError):  # a ledger that cannot be written is told by every cycle
            self._app.ledger.audit.note(Entry(event="access.denied", detail=detail))


def _is_within(address: str, networks: list[str]) -> bool:
    try:
        host = ipaddress.ip_address(address)
    except ValueError:
        return False
    # Who listens on [::] has IPv4 peers in this form.
    host = getattr(host, "ipv4_mapped", None) or host
    return any(host in ipaddress.ip_network(network) for network in networks)
