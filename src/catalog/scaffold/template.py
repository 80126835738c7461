#!/usr/bin/env python3
"""Say here what this migration does, and why.

A good migration can be run again without harm, goes on where it stopped, and shows how far it is.
This one counts to ten; replace what is marked below.
"""
import json
import os
import signal
import sys
import time

stopping = False


def stop(signum, frame):
    """Pause, cancel and the end of the pod send SIGTERM: finish the item at hand, then leave with status 75."""
    global stopping
    stopping = True


def say(**progress):
    print("::stopover " + json.dumps(progress), flush=True)


def main():
    signal.signal(signal.SIGTERM, stop)
    # Where an earlier attempt stopped: the checkpoint it printed, or nothing.
    checkpoint = json.loads(os.environ.get("STOPOVER_CHECKPOINT") or "{}")
    total = 10
    for count in range(checkpoint.get("count", 0) + 1, total + 1):
        if stopping:
            return 75

        # Replace this by the work on one batch of items.
        time.sleep(1)

        print(f"item {count} is done", flush=True)
        say(done=count, total=total, checkpoint={"count": count})
    return 0


if __name__ == "__main__":
    sys.exit(main())
