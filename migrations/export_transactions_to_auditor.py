"""Writes the transactions to a file for the auditor, with a signature beside it."""
import hashlib
import hmac
import json
import os
import sys

from lib import payments
from lib.backfill import Run

run = Run(pace=10000)
token = run.param("token")
if not token:
    sys.exit("the auditor's token is missing: --param token=...")
form = run.param("format", "csv")
db = payments.connect()
total = db.execute("SELECT count(*) FROM transactions").fetchone()[0]
path = os.path.join(payments.directory(), "transactions." + form)
signature = hmac.new(token.encode(), digestmod=hashlib.sha256)

# Written beside and renamed at the end: nobody sees half an export, and a second try replaces the first.
partial = "%s.%d" % (path, os.getpid())
try:
    with open(partial, "w", encoding="utf-8") as out:
        for done, row in enumerate(db.execute("SELECT id, charge, amount, sender FROM transactions ORDER BY id"), 1):
            line = json.dumps(row) if form == "jsonl" else ",".join("" if field is None else str(field) for field in row)
            out.write(line + "\n")
            signature.update(line.encode())
            if done % 1000 == 0:
                run.leave_if_asked()
                run.tell(done=done, total=total)
                run.rest(1000)
    os.replace(partial, path)
finally:
    if os.path.exists(partial):
        os.remove(partial)
with open(path + ".signature", "w", encoding="utf-8") as out:
    out.write(signature.hexdigest() + "\n")
print("wrote %d transactions to %s" % (total, path), flush=True)
