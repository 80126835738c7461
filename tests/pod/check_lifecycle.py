"""What happens to runs when their pod goes away."""

import re
import time

from check_terminals import console, tick
from cluster import eventually, must
from runner import check


def ticks(world):
    """The numbers that 01_tick's latest run has said, in order, whatever attempt."""
    return [int(number) for number in re.findall(r"tick (\d+) of attempt", world.stopover("logs", "01_tick", "--raw"))]


def in_order_and_each_once(numbers):
    must(numbers == list(range(1, len(numbers) + 1)), f"each number once and in order: {numbers}")


def fresh(world):
    world.stopover.close("01_tick")
    tick(world)
    eventually("it has ticked", lambda: (world.stopover.run("01_tick")["done"] or 0) >= 3)


@check
def a_rollout_interrupts_a_run_which_goes_on_in_the_new_pod(world):
    fresh(world)
    old = world.staging.pod()
    world.deploy("staging", world.staging, image=world.second)
    world.staging.kubectl("rollout", "status", "deploy/stopover", "--timeout=120s")
    new = world.staging.pod()
    run = world.stopover.until("01_tick", "running")
    eventually("it ticks in the new pod", lambda: "of attempt 2" in world.stopover("logs", "01_tick", "--raw"))
    run = world.stopover.run("01_tick")
    must(run["attempt"] == 2 and run["pod"] == new != old, f"{run}")
    must(world.second in world.stopover("show", "01_tick"), "the record says which image it goes on in")
    must(any(event["kind"] == "interrupted" for event in run["events"]), f"{run['events']}")
    in_order_and_each_once(ticks(world))
    eventually("kubectl logs of the new pod has it", lambda: "of attempt 2" in world.staging.logs(new))


@check
def a_pod_that_is_deleted_while_somebody_is_attached_gives_the_terminal_back(world):
    fresh(world)
    with console(world) as terminal:
        terminal.shows("connected")
        pod = world.staging.pod()
        began = time.monotonic()
        world.staging.kubectl("delete", "pod", pod, "--wait=false")
        terminal.shows("ended with", patience=60)
        gone = time.monotonic() - began
        must("─ 01_tick ─" not in terminal.screen(), f"the screen is given back:\n{terminal.screen()}")
    world.staging.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=70s")
    ended = time.monotonic() - began
    must(ended < 50, f"well before the grace period of 60 s is over: {ended:.0f} s")
    world.staging.pod()
    world.stopover.until("01_tick", "running")
    eventually("it goes on", lambda: "of attempt 2" in world.stopover("logs", "01_tick", "--raw"))
    in_order_and_each_once(ticks(world))
    world.stopover("cancel", "01_tick", "--wait")
    return f"terminal back after {gone:.1f} s, pod gone after {ended:.1f} s"


@check
def a_pod_that_is_killed_without_grace_loses_nothing(world):
    fresh(world)
    pod = world.staging.pod()
    world.staging.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    new = world.staging.pod()

    def taken_over():
        run = world.stopover.run("01_tick")
        return run if run["state"] == "running" and run["attempt"] == 2 and run["pod"] == new else None

    run = eventually("the new pod takes it over", taken_over, 180)
    eventually("it ticks again", lambda: "of attempt 2" in world.stopover("logs", "01_tick", "--raw"))
    numbers = ticks(world)
    # What was done after the last checkpoint that the ledger has is done again.
    must(set(numbers) == set(range(1, max(numbers) + 1)), f"no number is left out: {numbers}")
    world.stopover("cancel", "01_tick", "--wait")
    return f"attempt {run['attempt']} took over, {len(numbers) - len(set(numbers))} of {max(numbers)} ticks were repeated"


@check
def a_backfill_whose_pod_is_deleted_changes_every_document_once(world):
    total = 200_000
    world.database.ask(f"(payments.payouts.drop(), [payments.payouts.insert_many([{{'_id': n + k, 'amount': 100 + n + k}} for k in range(10000)]) for n in range(0, {total}, 10000)]) and 0")
    # Its steps are not idempotent: where it was applied before, to what is dropped above, that has to be insisted on.
    insist = ["--force"] if world.stopover.run("06_add_net_to_payouts") else []
    launched = world.stopover.launch("06_add_net_to_payouts", *insist)
    must(launched.returncode == 0, f"{launched}")
    changed = "payments.payouts.count_documents({'times': {'$exists': True}})"
    eventually("a part is done", lambda: world.database.ask(changed) > total // 20)
    world.staging.kubectl("delete", "pod", world.staging.pod(), "--wait=false")
    done = world.database.ask(changed)
    must(done < total, "it was not over yet")
    world.staging.pod()
    world.stopover.until("06_add_net_to_payouts", "succeeded", patience=240)
    run = world.stopover.run("06_add_net_to_payouts")
    must(run["attempt"] >= 2, f"{run}")
    must(world.database.ask("payments.payouts.count_documents({'times': 1})") == total, "every document was changed once")
    return f"deleted at {done} of {total}, {run['attempt']} attempts"


@check
def a_program_that_takes_all_memory_ends_and_nothing_else_does(world):
    fresh(world)
    pod, before = world.staging.pod(), world.stopover.run("01_tick")
    # On cgroup v2, kubelets since 1.28 have the kernel end the whole container with the program that takes too much. On v1 just that ends.
    whole = world.staging.try_("exec", pod, "--", "test", "-e", "/sys/fs/cgroup/cgroup.controllers").returncode == 0
    world.stopover.launch("04_hungry")
    run = world.stopover.until("04_hungry", "failed", "interrupted", "lost", patience=180)
    restarts = int(world.staging.kubectl("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"))
    must(restarts == 0 or (whole and restarts == 1), f"the pod was restarted {restarts} times")
    after = world.stopover.until("01_tick", "running")
    if restarts:
        must(after["attempt"] == before["attempt"] + 1, f"what may be resumed was: {after}")
        said = f"{run['state']}: the container was restarted"
    else:
        must(run["state"] == "failed", f"{run}")
        must(any("lack of memory" in warning for warning in run["warnings"]), f"the record says why: {run}")
        must(after["attempt"] == before["attempt"], f"it was left alone: {after}")
        eventually("the other run goes on", lambda: world.stopover.run("01_tick")["done"] > before["done"])
        said = f"{run['error']['message']}, and why"
    world.stopover("cancel", "01_tick", "--wait")
    return f"{said} (cgroup v{2 if whole else 1})"
