"""Writes customers' phones in the international form, one country at a time."""
from lib.backfill import Run, backfill

PREFIXES = {"BR": "+55", "MX": "+52"}

run = Run(pace=150)
region = run.param("region", "BR")
dry_run = run.param("dry_run", "false") == "true"


def change(db, row):
    customer, country, phone = row
    if country != region:
        return
    number = PREFIXES[region] + "".join(c for c in phone if c.isdigit())
    if dry_run:
        print("customer %d: %s would become %s" % (customer, phone, number), flush=True)
    else:
        db.execute("UPDATE customers SET phone_e164 = ? WHERE id = ?", (number, customer))


backfill(run, "customers", ["id", "country", "phone"], "phone_e164 IS NULL AND country = '%s'" % region, change)
