"""Opening the ledger's database in PostgreSQL: an address, and connections that end when the server is gone."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url

from syncd.errors import LedgerError
from syncd.ledger.faults import READ_ONLY, translated

LINE = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}  # fmt: skip
"""How soon a machine that is gone is noticed: parameters of libpq, in seconds, the last one in milliseconds."""


def postgres_engine(url: str) -> Engine:
    """Return an engine on PostgreSQL; `url` is `postgresql://…`.

    Raises `LedgerError` for another kind of address, one that cannot be read, or an option that libpq does not know.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"} or not rest:
        raise LedgerError("state.url is no PostgreSQL address", hint="write postgresql://USER@HOST/DATABASE")
    # The setting is named as the place: the address itself may hold a password.
    with translated("state.url"):
        try:
            address = make_url(_with_hosts_apart(url)).set(drivername="postgresql+psycopg")
        except ValueError:  # a port that is no number, most often the rest of a password
            raise LedgerError(
                "state.url is no PostgreSQL address",
                hint="write postgresql://USER:PASSWORD@HOST/DATABASE, with %40 for @, %3A for : and %2F for / in them",
            ) from None
        # Whatever the database's own encoding is. What the address says of a dead line counts before ours.
        options = {"client_encoding": "utf8", **{key: value for key, value in LINE.items() if key not in address.query}}
        # Pinged, because a failover ends connections of the pool; unbounded, because each site holds one for its lock.
        engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, max_overflow=-1, connect_args=options)
        _see_options(engine)
    event.listen(engine, "do_connect", _bounded)
    event.listen(engine, "handle_error", _leave_a_standby)
    event.listen(engine, "connect", _see_that_it_holds_any_text)
    return engine


def _bounded(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> Any:
    # Loaded here: whose ledger is in SQLite needs no driver of PostgreSQL's.
    from syncd.ledger.bounded_connection import BoundedConnection  # noqa: PLC0415

    return BoundedConnection.connect(*args, **options)


PSYCOPGS = ("autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory")
"""Options of psycopg's own, which no address takes."""


def _with_hosts_apart(url: str) -> str:
    """Return the address as SQLAlchemy reads it: several servers, which libpq lists with commas, become options."""
    head, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "," not in hosts:
        return url
    options = "&".join(f"host={host}" for host in hosts.split(","))
    return f"{head}://{user}{at}{slash or '/'}{path}{'&' if '?' in path else '?'}{options}"


def _see_options(engine: Engine) -> None:
    """Raise `LedgerError` for an option in the address that libpq does not know: psycopg would take it for its own."""
    known = {option.keyword.decode() for option in engine.dialect.loaded_dbapi.pq.Conninfo.get_defaults()}
    for name in engine.url.query:
        if name in known:
            continue
        # What follows a ? may be the rest of a password: only what is near an option's name is told, by that name.
        close = next(iter(get_close_matches(name, [*sorted(known), *PSYCOPGS], 1, 0.8)), "")
        meant = f": {close}" if close in PSYCOPGS else f"; is {close} meant?" if close else ""
        raise LedgerError(
            f"state.url has an option that PostgreSQL does not know{meant}",
            hint="leave it out, or write %3F for ? in a password; options are libpq's, such as sslmode",
        )


def _leave_a_standby(context: Any) -> None:
    """Have connections replaced after a refused write: after a failover the old server takes no writes any more."""
    if getattr(context.original_exception, "sqlstate", "") == READ_ONLY:
        context.is_disconnect = True


def _see_that_it_holds_any_text(connection: Any, _record: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    # SQL_ASCII converts nothing, so UTF-8 comes back as it was written.
    if encoding not in {"UTF8", "SQL_ASCII"}:
        raise LedgerError(
            f"the ledger's database has the encoding {encoding}, which does not hold every name",
            hint="make it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
