"""Prints how many items are left of what the argument names: what a manifest's `remaining` asks."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import payments  # noqa: E402  (its folder had to be found first)

what = sys.argv[1] if len(sys.argv) > 1 else ""
if what not in payments.UNFINISHED:
    sys.exit("count.py counts one of: " + ", ".join(sorted(payments.UNFINISHED)))
print(payments.connect().execute(payments.UNFINISHED[what]).fetchone()[0])
