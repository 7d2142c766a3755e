"""An index of the trigrams of names, paths and targets, so that a part of one is found without reading every row.

SQLite: FTS5 with its trigram tokenizer (since 3.34, "The Trigram Tokenizer"); PostgreSQL: the extension pg_trgm. Where
neither can be had, rows are read in their order instead, which is slower and finds the same.
"""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

SHORTEST = 3
"""Characters of a trigram: a shorter text is looked for row by row."""
MOST = 2000
"""Rows beyond which a text is so common that reading in order finds a page at once."""
FILL = (
    "INSERT INTO syncd_words (rowid, site, name, path, target)"
    " SELECT rowid, site, name, path, target FROM syncd_records"
)
SQLITE = (
    "CREATE VIRTUAL TABLE syncd_words USING fts5(site UNINDEXED, name, path, target, tokenize='trigram')",
    FILL,
    """CREATE TRIGGER syncd_words_in AFTER INSERT ON syncd_records
        BEGIN INSERT INTO syncd_words (rowid, site, name, path, target)
        VALUES (NEW.rowid, NEW.site, NEW.name, NEW.path, NEW.target); END""",
    """CREATE TRIGGER syncd_words_out AFTER DELETE ON syncd_records
        BEGIN DELETE FROM syncd_words WHERE rowid = OLD.rowid; END""",
    """CREATE TRIGGER syncd_words_to AFTER UPDATE ON syncd_records
        WHEN OLD.path IS NOT NEW.path OR OLD.target IS NOT NEW.target
        BEGIN UPDATE syncd_words SET path = NEW.path, target = NEW.target WHERE rowid = NEW.rowid; END""",
)
POSTGRES = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    *(
        f"CREATE INDEX syncd_words_{column} ON syncd_records USING gin (lower({column}) gin_trgm_ops)"
        for column in ("name", "path", "target", "site")
    ),
)


def install(connection: Connection) -> None:
    """Index the rows that are there and those to come. A database that cannot do it goes without the index."""
    statements = POSTGRES if connection.dialect.name == "postgresql" else SQLITE
    try:
        # In a savepoint: a database that refuses this must not end the migration around it.
        with connection.begin_nested():
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError:
        return


def is_out_of_step(connection: Connection) -> bool:
    """Did somebody VACUUM the file by hand? That may number rows anew, which nothing else tells."""
    if connection.dialect.name != "sqlite" or not _is_there(connection):
        return False
    # Numbers close up when they are given anew, so a gap anywhere moves the last row: that one tells.
    newest = text(
        "SELECT r.site, r.name, w.site, w.name FROM (SELECT max(rowid) AS top FROM syncd_records) AS t"
        " LEFT JOIN syncd_records AS r ON r.rowid = t.top LEFT JOIN syncd_words AS w ON w.rowid = t.top"
    )
    row = connection.execute(newest).one()
    return tuple(row[:2]) != tuple(row[2:])


def index_anew(connection: Connection) -> None:
    """Index every row again."""
    connection.exec_driver_sql("DELETE FROM syncd_words")
    connection.exec_driver_sql(FILL)


def _is_there(connection: Connection) -> bool:
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'syncd_words'"
    return connection.exec_driver_sql(known).first() is not None


def holding(connection: Connection, words: str) -> list[tuple[str, str]] | None:
    """Return site and name of each row that holds a text in its name, path or target.

    None where rows have to be searched instead: PostgreSQL, no index, a text that is too short, or too many rows.
    """
    # PostgreSQL uses its indexes within the search itself.
    if len(words) < SHORTEST or connection.dialect.name != "sqlite" or not _is_there(connection):
        return None
    # As one phrase: what people type is data, and no word of FTS5's query language.
    phrase = '"' + words.replace('"', '""') + '"'
    found = connection.execute(
        text("SELECT site, name FROM syncd_words WHERE syncd_words MATCH :phrase LIMIT :most"),
        {"phrase": phrase, "most": MOST + 1},
    ).all()
    return None if len(found) > MOST else [(row.site, row.name) for row in found]
