"""Settles the charges that were captured and then forgotten.

A payout holds charge 4242 while the first attempt runs, and has let it go when somebody resumes.
"""
import sys

from lib.backfill import Run, backfill

HELD_BY_PAYOUT = 4242

run = Run(pace=200)


def change(db, row):
    (charge,) = row
    if charge == HELD_BY_PAYOUT and run.attempt == 1 and not run.rerun:
        print("charge %d cannot be settled: payout po_1187 holds its lock" % charge, file=sys.stderr)
        print("resume this run when the payout is through", file=sys.stderr, flush=True)
        sys.exit(1)
    db.execute("UPDATE charges SET status = 'settled' WHERE id = ?", (charge,))


backfill(run, "charges", ["id"], "status = 'captured'", change)
