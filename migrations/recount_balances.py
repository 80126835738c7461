"""Recounts every customer's balance: a plain program that knows nothing of Stopover."""
import os
import time

from lib import payments

db = payments.connect()
pace = float(os.environ.get("STOPOVER_PARAM_PACE") or 100)
if os.environ.get("STOPOVER_RERUN") == "true":
    db.execute("UPDATE customers SET balance = NULL")

while True:
    rows = db.execute("SELECT id, name FROM customers WHERE balance IS NULL ORDER BY id LIMIT 25").fetchall()
    if not rows:
        break
    db.execute("BEGIN IMMEDIATE")
    for customer, name in rows:
        query = "SELECT coalesce(sum(amount), 0) FROM charges WHERE customer = ? AND status = 'settled'"
        (balance,) = db.execute(query, (customer,)).fetchone()
        db.execute("UPDATE customers SET balance = ? WHERE id = ?", (balance, customer))
    db.execute("COMMIT")
    print("%s has a balance of %.2f" % (name, balance / 100))
    time.sleep(len(rows) / pace)
print("every balance is right")
