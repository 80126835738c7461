"""The data of a small payments product, in one SQLite file: what the sample migrations work on.

Whoever comes first fills it, always with the same data; everybody else finds it there.
"""
import os
import sqlite3
import tempfile

CUSTOMERS = 3000
CHARGES = 12000
TRANSACTIONS = 20000

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, phone TEXT, phone_e164 TEXT, balance INTEGER);
CREATE TABLE charges (id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, status TEXT, currency TEXT);
CREATE INDEX charges_by_customer ON charges (customer);
CREATE TABLE transactions (id INTEGER PRIMARY KEY, charge INTEGER, amount INTEGER, sender INTEGER);
"""

# What `remaining` counts, by name.
UNFINISHED = {
    "charges-without-currency": "SELECT count(*) FROM charges WHERE currency IS NULL",
    "charges-not-settled": "SELECT count(*) FROM charges WHERE status = 'captured'",
    "customers-without-balance": "SELECT count(*) FROM customers WHERE balance IS NULL",
    "transactions-without-sender": "SELECT count(*) FROM transactions WHERE sender IS NULL",
}


def directory():
    """Where the samples keep their data."""
    default = os.path.join(os.environ.get("TMPDIR") or "/tmp", "stopover-sample")
    path = os.environ.get("STOPOVER_SAMPLE_DIR") or default
    os.makedirs(path, exist_ok=True)
    return path


def connect():
    """The database; two programs that come first at once wait for each other."""
    # Autocommit: transactions are begun where they are meant.
    db = sqlite3.connect(os.path.join(directory(), "payments.db"), timeout=60, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        seed(db)
    db.execute("COMMIT")
    return db


def seed(db):
    for statement in SCHEMA.strip().split("\n"):
        db.execute(statement)
    names = ["Ana", "Bruno", "Carla", "Diego", "Elisa", "Fábio", "Gabriela", "Hugo", "Inês", "João"]
    db.executemany(
        "INSERT INTO customers VALUES (?, ?, ?, ?, NULL, NULL)",
        (
            (n, "%s %d" % (names[n % 10], n), "BR" if n % 3 else "MX", "(%02d) %04d-%04d" % (11 + n % 80, n, 7 * n % 10000))
            for n in range(1, CUSTOMERS + 1)
        ),
    )
    db.executemany(
        "INSERT INTO charges VALUES (?, ?, ?, ?, NULL)",
        (
            (n, 1 + n * 7 % CUSTOMERS, 100 + n * 37 % 90000, "settled" if n % 3 else "captured")
            for n in range(1, CHARGES + 1)
        ),
    )
    db.executemany(
        "INSERT INTO transactions VALUES (?, ?, ?, NULL)",
        ((n, 1 + n * 11 % CHARGES, 100 + n * 53 % 70000) for n in range(1, TRANSACTIONS + 1)),
    )
