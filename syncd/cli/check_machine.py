"""What `syncd check` sees of this machine: its environment, its files, the ledger. Nothing is sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncd.cli.context import Context
from syncd.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.config.fields import Credential

Row = tuple[str, str, str, int]
"""Result, what was looked at, what was seen, exit code."""
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")


def environment(settings: Settings) -> Iterator[Row]:
    """Check the environment's proxies, certificates and AWS settings; yield a row for each thing to know.

    Raises `ConfigError` for a setting that cannot work.
    """
    from syncd.bootstrap.credentials import proxy_of
    from syncd.bootstrap.sources import client_certificate_of_environment
    from syncd.config.settings import AwsSettings, VaultSettings
    from syncd.transport.addresses import proxy_for

    addresses = {target.base_url for target in settings.targets.values()}
    addresses |= {source.address for source in settings.sources.values() if isinstance(source, VaultSettings)}
    aws = {name: source for name, source in settings.sources.items() if isinstance(source, AwsSettings)}
    # AWS is reached by the same law of proxies as all others, so its public address is tried as well.
    addresses |= {
        source.endpoint_url or f"https://secretsmanager.{source.region}.amazonaws.com" for source in aws.values()
    }
    # Only asked, nothing is sent: a variable that is no proxy's address would fail every cycle at its first request.
    for address in sorted(addresses):
        proxy_for(address)
    for section, peers in (("sources", settings.sources), ("targets", settings.targets)):
        for name, peer in peers.items():
            # A credential that is not on this machine was noted above, and is no fault.
            if isinstance(peer.proxy, str) or (peer.proxy is not None and _is_readable(peer.proxy)):
                proxy_of(f"{section}.{name}.proxy", peer.proxy)
    # The variables of Vault's own command (VAULT_CLIENT_CERT) matter to nobody else.
    if any(isinstance(source, VaultSettings) for source in settings.sources.values()):
        client_certificate_of_environment()
    for name in CERTIFICATE_VARIABLES:
        path = os.environ.get(name)
        if path and not os.access(path, os.R_OK):
            raise ConfigError(f"{name} in the environment names nothing readable", hint=f"fix it, or unset {name}")
    yield from _certificates(settings)
    if aws:
        yield from _aws(aws)


def _certificates(settings: Settings) -> Iterator[Row]:
    """Check that each `ca_file` holds certificates; yield a note for one that this user cannot read.

    Raises one `ConfigError` for all files that hold none, once every file was checked.
    """
    from syncd.transport.addresses import see_certificates

    unusable: list[ConfigError] = []
    for section, peers in (("sources", settings.sources), ("targets", settings.targets)):
        for name, peer in peers.items():
            place = f"{section}.{name}.ca_file"
            if peer.ca_file and os.access(peer.ca_file, os.R_OK):
                try:
                    see_certificates(place, peer.ca_file)
                except ConfigError as error:
                    unusable.append(error)
            # As with the ledger's folder: in a container the file may be there.
            elif peer.ca_file:
                yield "note", place, f"not readable here: {peer.ca_file}", 0
    if unusable:
        first, *more = unusable
        raise ConfigError(first.message, hint=first.hint, problems=tuple(error.message for error in more))


def _aws(sources: dict[str, Any]) -> Iterator[Row]:
    from difflib import get_close_matches

    from syncd.sources.aws.session import known_regions

    regions = known_regions()
    for name, source in sources.items():
        if source.region not in regions and source.endpoint_url is None:
            near = get_close_matches(source.region, sorted(regions), n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            # No fault: AWS opens regions that an older SDK does not know.
            yield "warning", f"sources.{name}.region", f"no region of AWS that this SDK knows{meant}", 0


def state(options: Context, settings: Settings) -> tuple[str, Row | None]:
    """Check whether the ledger can be opened and written, or can be created.

    Returns: the ledger in words (empty if it was not looked at, or is not well), and a row for a fault; None without.
    """
    key, url = settings.state.fingerprint_key, settings.state.url
    if url is not None and _is_readable(url):
        from syncd.ledger.postgres import postgres_engine

        try:
            postgres_engine(url.read("state.url").reveal()).dispose()  # nothing is connected before it is used
        except LedgerError as error:
            return "", ("failed", "state.url", f"{error.message}; fix: {error.hint}", error.exit_code)
    if settings.state.path is None or (key is not None and not _is_readable(key)):
        return "", None  # PostgreSQL is asked with --connect; a key that is not here was said
    try:
        file = settings.state.file
        return _ledger_file(options, file) if file.exists() else _ledger_folder(file)
    except LedgerError as error:
        return "", ("failed", "ledger", f"{error.message}; fix: {error.hint}", error.exit_code)


def _is_readable(credential: Credential) -> bool:
    try:
        credential.read("")
    except ConfigError:
        return False
    return True


def _ledger_file(options: Context, file: Path) -> tuple[str, Row | None]:
    with options.open(writable=False) as app:
        count = len(app.ledger.records())
    # The folder, too: SQLite keeps its log and syncd its locks beside the ledger.
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        raise LedgerError(f"the ledger {file} is not writable", hint="make it and its folder writable for this user")
    return f"{count} secrets in the ledger", None


def _ledger_folder(file: Path) -> tuple[str, Row | None]:
    # The first cycle makes what is missing of the path; the nearest folder that exists decides whether it can.
    folder = next(parent for parent in file.parents if parent.exists())
    if not folder.is_dir():
        raise LedgerError(f"the ledger {file} cannot be made: {folder} is a file", hint="name another state.path")
    if os.access(folder, os.W_OK | os.X_OK):
        return "the first cycle makes the ledger", None
    if folder == file.parent:
        raise LedgerError(f"the ledger {file} cannot be made: {folder} is not writable", hint="make it writable")
    # Elsewhere, in a container, its folder may be there.
    return "", ("note", f"ledger {file}", f"cannot be made here: {folder} is not writable for this user", 0)


def missing_credentials(settings: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Credentials that the configuration names and this machine does not have."""
    from pydantic import BaseModel

    from syncd.config.fields import Credential

    if isinstance(settings, Credential):
        try:
            settings.read(where)
        except ConfigError as error:
            yield where, error.message.removeprefix(f"{where}: ")
        return
    parts: Any = ()
    if isinstance(settings, BaseModel):
        parts = ((name, getattr(settings, name)) for name in type(settings).model_fields)
    elif isinstance(settings, dict):
        parts = settings.items()
    elif isinstance(settings, list):
        parts = enumerate(settings)
    for name, part in parts:
        place = f"{where}[{name}]" if isinstance(name, int) else f"{where}.{name}".lstrip(".")
        yield from missing_credentials(part, place)
