"""Settings to live objects: the only place that builds clients. SDKs are imported when first needed."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Self
from urllib.parse import urlsplit

from syncd.bootstrap.waits import WaitNotices
from syncd.config import settings as config
from syncd.config.fields import Credential, parse_duration
from syncd.config.rules import normalised
from syncd.domain import SecretValue
from syncd.domain.job import Job, Limit, Limits, Policies
from syncd.domain.ports import CycleObserver, Queue, SilentObserver, Source, Target, TellWait
from syncd.domain.recency import TOLERANCE
from syncd.domain.statuses import Served
from syncd.errors import ConfigError, LedgerError
from syncd.ledger.engine import is_read_only, postgres_engine, prepare_file, read_only_engine, sqlite_engine
from syncd.ledger.fingerprints import KEY_BYTES, Fingerprints, key_beside, key_path
from syncd.ledger.request_quota import Quota
from syncd.ledger.store import Ledger
from syncd.reconcile.run_job import MOST_SITES
from syncd.reconcile.runtime import WORKERS, Runtime
from syncd.telemetry.logs import logger
from syncd.transport.addresses import PROXY_HINT, is_proxy_address, see_certificates

UNSCHEDULED = timedelta(hours=1)
"""Taken for the interval of a job without a schedule (a cron-style run)."""


def now() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


M_ARENA_MAX = -8
"""glibc's mallopt(3)."""


@cache
def settle_process() -> None:
    """Once: what was imported is no longer looked through for garbage (an eighth of an idle cycle's time), and
    all threads share two heaps (glibc's one a thread keeps tens of megabytes that nobody uses).
    """
    gc.freeze()
    with suppress(OSError, AttributeError, TypeError):  # another C library needs none of it
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


class App:
    """Everything that one process works with, built from the settings and closed in the end."""

    def __init__(
        self,
        settings: config.Settings,
        *,
        clock: Callable[[], datetime] = now,
        writable: bool = True,
        renaming: bool = False,
        stop: threading.Event | None = None,
        observer: CycleObserver | None = None,
        waits: TellWait = lambda *_: None,
        source_call: Callable[[str, str], None] = lambda *_: None,
        request: Callable[[str, str, str], None] = lambda *_: None,
        expires: Callable[[str, datetime | None], None] = lambda *_: None,
    ) -> None:
        """`writable` False: where there is no ledger yet, none is made (a plan).

        `renaming`: the ledger's owner may be another than the configuration's. Raises `SyncdError`.
        """
        settle_process()
        self.settings = settings
        self.stop = stop or threading.Event()
        self.ended = threading.Event()
        """It is over, or another configuration has taken its place: what waits gives up, what runs ends soon."""
        self._clock = clock
        self._waits = WaitNotices(waits)
        self._source_call, self._request, self._expires = source_call, request, expires
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._targets: dict[str, Target] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        """By base URL, CA and proxy: all sites that are reached the same way share their connections."""
        self.ledger, self._quota_engine = self._open_ledger(writable=writable)
        self.fingerprints = self._fingerprints()
        keep = writable or not (self._path and is_read_only(self._path))
        self.ledger.check_key(self.fingerprints.key_id, keep=keep)
        if not renaming:
            self.ledger.check_owner(settings.owner, keep=keep)
        self._joined = self.ledger.joined_sites()
        self._see_that_joined_targets_agree()
        self._say_a_clock_that_was_set_back()
        self.runtime = Runtime(
            owner=settings.owner,
            jobs={name: self._job(name, job) for name, job in settings.jobs.items()},
            source=self.source,
            target=self.target,
            site_of=self.site_of,
            targets=tuple(settings.targets),
            store=self.ledger,
            fingerprint=self.fingerprints.of,
            clock=clock,
            stopped=lambda: self.stop.is_set() or self.ended.is_set(),
            observer=observer or SilentObserver(),
            pause=self.stop.wait,
            waits=self._waits,
        )

    def _say_a_clock_that_was_set_back(self) -> None:
        latest = max((run.finished_at for run in self.ledger.runs()), default=None)
        if latest is not None and latest > self._clock() + TOLERANCE:
            logger().warning(
                "clock.set_back",
                latest=f"{latest:%Y-%m-%d %H:%M:%S} UTC",
                hint="the ledger has later times; see the clock",
            )

    def close(self) -> None:
        """Give everything back."""
        self.ended.set()
        closers = [source.close for source in self._sources.values()]
        closers += [client.close for client in self._clients.values()]
        for close in closers:
            with suppress(OSError):
                close()
        self._quota_engine.dispose()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_ledger(self, *, writable: bool) -> tuple[Ledger, Any]:
        state = self.settings.state
        if state.url is not None:
            url = state.url.read("state.url").reveal()
            self._path = None
            return Ledger(postgres_engine(url), "in PostgreSQL", None, self._clock), postgres_engine(url)
        self._path = state.file
        if not writable and not self._path.exists():
            engine = sqlite_engine(None)
            self._path = None
            return Ledger(engine, "in memory", None, self._clock), engine
        if not writable and is_read_only(self._path):
            memory = sqlite_engine(None)
            Ledger(memory, "in memory", None, self._clock)  # the request times of this command alone
            return Ledger(read_only_engine(self._path), str(self._path), self._path, self._clock), memory
        for file, rights in prepare_file(self._path):
            logger().warning(
                "state.narrowed", file=str(file), had=f"{rights:04o}", hint="only its owner may read it now"
            )
        ledger = Ledger(sqlite_engine(self._path), str(self._path), self._path, self._clock)
        return ledger, sqlite_engine(self._path, durable=False)

    def _fingerprints(self) -> Fingerprints:
        given = self.settings.state.fingerprint_key
        if given is not None:
            key = given.read("state.fingerprint_key").reveal()
            if not re.fullmatch(rf"([0-9a-fA-F]{{2}}){{{KEY_BYTES},}}", key):
                raise LedgerError(
                    f"state.fingerprint_key ({given}) is not 64 hex digits or more",
                    hint="make one with: openssl rand -hex 32",
                )
            return Fingerprints(bytes.fromhex(key))
        if self._path is None:
            return Fingerprints(os.urandom(KEY_BYTES))
        if self.ledger.meta("fingerprint_key_id") is None and key_path(self._path).exists():
            hint = "if it was not lost on purpose, put a backup back; else it is rebuilt from the sites"
            logger().warning("ledger.empty", ledger=self.ledger.place, hint=hint)
        return Fingerprints(key_beside(self._path, known=self.ledger.meta("fingerprint_key_id") is not None))

    def site_of(self, target: str) -> str:
        """The site's identity that the ledger keeps a target's records under."""
        site = self.settings.targets[target].site
        return self._joined.get(site, site)

    def first_target_on(self, site: str, job: str) -> str:
        """The target that a job's secrets on a site are counted for: its first there, or the site's first."""
        settings = self.settings.jobs.get(job)
        names = [*(settings.targets if settings else ()), *self.settings.targets]
        return next((name for name in names if self.site_of(name) == site), site)

    @property
    def served(self) -> Served:
        """Which jobs send to which sites."""
        jobs: dict[str, frozenset[str]] = {self.site_of(name): frozenset() for name in self.settings.targets}
        for name, job in self.settings.jobs.items():
            for target in job.targets:
                jobs[self.site_of(target)] |= {name}
        return Served(jobs=jobs)

    def _see_that_joined_targets_agree(self) -> None:
        """Targets on one site share its records and its rate limit, under whichever key. Raises `ConfigError`."""
        first: dict[str, str] = {}
        for name, target in self.settings.targets.items():
            other = first.setdefault(self.site_of(name), name)
            if (target.name_profile, target.rate_limit) != (
                self.settings.targets[other].name_profile,
                self.settings.targets[other].rate_limit,
            ):
                raise ConfigError(
                    f"targets {other} and {name} are one site, and differ in name_profile or rate_limit",
                    hint="give both the same",
                )

    def _job(self, name: str, job: config.JobSettings) -> Job:
        kind = self.settings.sources[job.source].type
        interval = job.schedule.interval() if job.schedule else UNSCHEDULED
        return Job(
            name=name,
            source=job.source,
            targets=tuple(job.targets),
            rules=tuple(normalised(rule, index, job.source, kind) for index, rule in enumerate(job.secrets)),
            policies=Policies(
                job=name,
                adopt=job.conflict_policy == "adopt",
                restore=job.drift_policy == "restore",
                delete=job.deletion_policy == "delete",
                grace=job.deletion_grace,
                interval=interval,
                verify_every=job.verify_every or None,
            ),
            limits=Limits(
                max_deletes=_limit(job.guard.max_deletes),
                max_updates=_limit(job.guard.max_updates) if job.guard.max_updates is not None else None,
                max_creates=_limit(job.guard.max_creates) if job.guard.max_creates is not None else None,
            ),
        )

    def source(self, name: str) -> Source:
        """The source, connected when first used. Raises `ConfigError` for a missing credential."""
        with self._lock:
            if name not in self._sources:
                settings = self.settings.sources[name]
                is_vault = isinstance(settings, config.VaultSettings)
                self._sources[name] = self._vault(name, settings) if is_vault else self._aws(name, settings)  # type: ignore[arg-type]
            return self._sources[name]

    def _vault(self, name: str, settings: config.VaultSettings) -> Source:
        from syncd.sources.vault import VaultClient, VaultSource

        auth = settings.auth
        login = _login(name, auth)
        cert = (auth.cert_file, auth.key_file) if isinstance(auth, config.CertAuth) else None
        for file in (settings.ca_file, *(cert or ())):
            if file and not os.access(file, os.R_OK):
                raise ConfigError(f"sources.{name}: {file} cannot be read", hint="see ca_file, cert_file, key_file")
        if settings.ca_file:
            see_certificates(f"sources.{name}.ca_file", settings.ca_file)
        login.secrets()  # a missing credential is told before anything is asked
        client = VaultClient(
            name=name,
            address=settings.address,
            namespace=settings.namespace,
            login_namespace=auth.namespace,
            ca_file=settings.ca_file,
            client_cert=cert,
            proxy=proxy_of(f"sources.{name}.proxy", settings.proxy),
            login=login,
            secrets=login.secrets,
            clock=self._clock,
            observe=lambda call: self._source_call(name, call),
            # Every other method logs in anew by itself.
            expires=lambda at: self._expires(name, at if auth.method == "token" else None),
        )
        return VaultSource(client, self._clock)

    def _aws(self, name: str, settings: config.AwsSettings) -> Source:
        from syncd.sources.aws.source import AwsSource

        if settings.ca_file:
            see_certificates(f"sources.{name}.ca_file", settings.ca_file)
        factory = _aws_clients(name, "secretsmanager", settings, settings.endpoint_url or "")
        return AwsSource(name, factory.connect(), lambda call: self._source_call(name, call), factory.renewed)

    def queue(self, name: str, settings: config.AwsSettings) -> Queue:
        """The queue of a source's events. Raises `SourceError` where AWS is not set up."""
        from syncd.sources.aws.event_queue import Queue as SqsQueue

        if settings.events is None:
            raise ConfigError(f"sources.{name}: no events", hint="write events: {sqs: URL}")
        factory = _aws_clients(name, "sqs", settings, settings.events.endpoint_url)
        return SqsQueue(name, factory.connect(), settings.events.sqs, factory.renewed)

    def target(self, name: str) -> Target:
        """The target, connected when first used. Raises `ConfigError` for a missing credential."""
        with self._lock:
            if name not in self._targets:
                self._targets[name] = self._wix(name, self.settings.targets[name])
            return self._targets[name]

    def _wix(self, name: str, settings: config.WixSettings) -> Target:
        from syncd.targets.wix.auth import ApiKeyAuth, AppAuth
        from syncd.targets.wix.http import client_for
        from syncd.targets.wix.target import WixTarget

        way = (settings.base_url, settings.ca_file, str(settings.proxy or ""))
        if way not in self._clients:
            self._clients[way] = client_for(
                settings.base_url,
                connections=MOST_SITES * WORKERS,
                ca_file=settings.ca_file,
                proxy=proxy_of(f"targets.{name}.proxy", settings.proxy),
            )
        client = self._clients[way]
        auth: ApiKeyAuth | AppAuth
        if isinstance(settings.auth, config.ApiKeyAuth):
            key = _reader(f"targets.{name}.auth.api_key", settings.auth.api_key)
            key()
            auth = ApiKeyAuth(settings.auth.site_id, key)
        else:
            secret = _reader(f"targets.{name}.auth.app_secret", settings.auth.app_secret)
            secret()
            parts = urlsplit(settings.base_url)
            auth = AppAuth(
                client,
                f"{parts.scheme}://{parts.netloc}/oauth2/token",
                app_id=settings.auth.app_id,
                instance_id=settings.auth.instance_id,
                app_secret=secret,
            )
        count, _, span = settings.rate_limit.partition("/")
        window = parse_duration(span)
        quota = Quota(
            self._quota_engine,
            self.ledger.place,
            site=self.site_of(name),
            limit=int(count),
            window=window,
            clock=self._clock,
            still_there=partial(self.ledger.still_there, self.site_of(name)),
        )
        return WixTarget(
            name=name,
            site=self.site_of(name),
            base_url=settings.base_url,
            client=client,
            auth=auth,
            quota=quota,
            window_seconds=window.total_seconds(),
            stop=self.stop,
            profile=settings.name_profile,
            observe=lambda method, code: self._request(name, method, code),
            waits=self._waits,
        )


def holder() -> str:
    """Who this process is, for whoever waits for its lock."""
    commands = {"run", "sync", "apply", "check", "state"}
    command = next((word for word in sys.argv[1:] if word in commands), "command")
    return f"syncd {command} (process {os.getpid()} on {socket.gethostname()})"


def proxy_of(what: str, given: str | Credential | None) -> SecretValue[str] | None:
    """A proxy's URL, which may hold a password. Raises `ConfigError` where it cannot be read, or is none."""
    if given is None:
        return None
    url = given.read(what) if isinstance(given, Credential) else SecretValue(given)
    if not is_proxy_address(url.reveal()):
        raise ConfigError(f"{what}: holds no address of an HTTP proxy", hint=PROXY_HINT)
    return url


def _aws_clients(name: str, service: str, settings: config.AwsSettings, endpoint_url: str) -> Any:
    from syncd.sources.aws.session import ClientFactory

    return ClientFactory(
        service=service,
        region=settings.region,
        endpoint_url=endpoint_url,
        sts_endpoint_url=settings.sts_endpoint_url or "",
        assume_role=settings.assume_role,
        external_id=settings.external_id,
        ca_file=settings.ca_file,
        proxy=proxy_of(f"sources.{name}.proxy", settings.proxy),
    )


def _limit(text: str) -> Limit:
    return Limit(percent=float(text[:-1])) if text.endswith("%") else Limit(number=int(text))


def _reader(what: str, credential: Credential) -> Callable[[], SecretValue[str]]:
    return lambda: credential.read(what)


def _login(name: str, auth: Any) -> Any:
    from syncd.sources.vault import Login

    credentials, plain = {}, {}
    for key in type(auth).model_fields:
        value = getattr(auth, key)
        if isinstance(value, Credential):
            credentials[key] = _reader(f"sources.{name}.auth.{key}", value)
        elif isinstance(value, str) and key not in {"method", "mount", "namespace"}:
            plain[key] = value
    return Login(
        method=auth.method,
        mount=getattr(auth, "mount", ""),
        settings=plain,
        credentials=credentials,
        wrapped=getattr(auth, "wrapped", False),
    )
