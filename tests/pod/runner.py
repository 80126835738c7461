"""Checks, in the order in which they are written, each a sentence."""

import time
import traceback

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def groundwork(function):
    """A check that others stand on: when it fails, so does everything."""
    function.is_groundwork = True
    return check(function)


def run(world, wanted=()):
    """Runs all checks, or those whose name holds one of the words. Answers how many failed."""
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        is_groundwork = getattr(function, "is_groundwork", False)
        if wanted and not is_groundwork and not any(word in name for word in wanted):
            continue
        began = time.monotonic()
        try:
            said = function(world)
            print(f"ok    {time.monotonic() - began:6.1f} s  {name}{f': {said}' if said else ''}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {time.monotonic() - began:6.1f} s  {name}\n{traceback.format_exc(limit=-2)}", flush=True)
            if is_groundwork:
                break
    return failed
