"""Gives every old transaction the sender it was created with: the customer of its charge."""
from lib.backfill import Run, backfill


def change(db, row):
    transaction, charge = row
    db.execute(
        "UPDATE transactions SET sender = (SELECT customer FROM charges WHERE id = ?) WHERE id = ?", (charge, transaction)
    )


backfill(Run(pace=350), "transactions", ["id", "charge"], "sender IS NULL", change)
