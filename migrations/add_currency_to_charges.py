"""Gives every old charge the currency of its customer's country."""
from lib.backfill import Run, backfill

CURRENCIES = {"BR": "BRL", "MX": "MXN"}


def change(db, row):
    charge, customer = row
    (country,) = db.execute("SELECT country FROM customers WHERE id = ?", (customer,)).fetchone()
    db.execute("UPDATE charges SET currency = ? WHERE id = ?", (CURRENCIES[country], charge))


backfill(Run(pace=400), "charges", ["id", "customer"], "currency IS NULL", change)
