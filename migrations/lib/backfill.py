"""A backfill in batches, and the words in which it talks to Stopover: progress, checkpoint, stop.

The work of a batch is committed before its checkpoint is told. If the program dies between the two, the next attempt does that
batch again: changing a row twice must do no harm.
"""
import json
import os
import signal
import sys
import time

from lib import payments

BATCH = 50
STOPPED_AT_CHECKPOINT = 75


class Run:
    """What Stopover told this program, and what it asks while the program runs."""

    def __init__(self, pace):
        self.checkpoint = json.loads(os.environ.get("STOPOVER_CHECKPOINT") or "{}")
        self.attempt = int(os.environ.get("STOPOVER_ATTEMPT") or 1)
        self.rerun = os.environ.get("STOPOVER_RERUN") == "true"
        # Items per second, so that there is something to watch: the data is small.
        self.pace = float(os.environ.get("STOPOVER_PARAM_PACE") or pace)
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, signum, frame):
        self.stopping = True

    def param(self, name, default=""):
        return os.environ.get("STOPOVER_PARAM_" + name.upper()) or default

    def tell(self, **progress):
        print("::stopover " + json.dumps(progress), flush=True)

    def leave_if_asked(self):
        """Stops here if somebody wants it; the latest checkpoint is where the next attempt goes on."""
        if self.stopping:
            print("asked to stop, leaving at the checkpoint", flush=True)
            sys.exit(STOPPED_AT_CHECKPOINT)

    def rest(self, items):
        time.sleep(items / self.pace)


def backfill(run, table, columns, unfinished, change):
    """Calls `change(db, row)` for each row that is `unfinished`, or for each row at all on a rerun."""
    db = payments.connect()
    todo = "1" if run.rerun else unfinished
    last = run.checkpoint.get("last", 0)
    done = run.checkpoint.get("done", 0)
    total = run.checkpoint.get("total")
    if total is None:
        total = db.execute("SELECT count(*) FROM %s WHERE %s" % (table, todo)).fetchone()[0]
        print("%d %s to do" % (total, table), flush=True)
    else:
        print("going on after %s %d: %d of %d are done" % (table, last, done, total), flush=True)
    run.tell(done=done, total=total)
    query = "SELECT %s FROM %s WHERE id > ? AND (%s) ORDER BY id LIMIT %d" % (", ".join(columns), table, todo, BATCH)
    while True:
        run.leave_if_asked()
        rows = db.execute(query, (last,)).fetchall()
        if not rows:
            break
        db.execute("BEGIN IMMEDIATE")
        for row in rows:
            change(db, row)
        db.execute("COMMIT")
        last = rows[-1][0]
        done += len(rows)
        run.tell(
            done=done,
            total=total,
            message="%s up to %d" % (table, last),
            checkpoint={"last": last, "done": done, "total": total},
        )
        if done % (20 * BATCH) == 0:
            print("%d of %d %s" % (done, total, table), flush=True)
        run.rest(len(rows))
    print("all %d %s are done" % (done, table), flush=True)
