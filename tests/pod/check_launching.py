"""Deploying, launching from scripts, reading logs, and what the pod is allowed."""

import re
import tempfile
import time
from pathlib import Path

from cluster import Stopover, eventually, must
from database import OTHER
from runner import check, groundwork

ID = re.compile(r"^[0-9a-f]{8}-[0-9a-f-]{27}$")


@groundwork
def staging_is_deployed_and_its_keeper_says_where_it_is(world):
    world.database.start()
    world.deploy("staging", world.staging, world.database.secret("stopover-mongodb", "operator"))
    pod = world.staging.pod()
    eventually("the keeper says where it is", lambda: "it reaps what is orphaned" in (said := world.staging.logs(pod)) and pod in said)
    must(world.staging.exec(pod, "stopover", "--version").startswith("stopover "), "it has a version")


@groundwork
def a_ledger_without_a_passport_is_looked_at_but_not_written_to(world):
    if world.database.ask("payments.stopover_passport.count_documents({})") == 0:
        refused = world.stopover.try_("run", "03_quick")
        must(refused.returncode == 5 and "stopover init" in refused.stderr, f"{refused}")
        must(world.stopover.json("list")[0]["state"] == "pending", "the list is read")
    world.stopover("init", "--environment", "staging")


@check
def a_launch_without_a_terminal_prints_the_id_and_how_to_follow_and_returns_at_once(world):
    again = ["--rerun"] if world.stopover.run("01_tick") else []
    began = time.monotonic()
    ended = world.stopover.try_("run", "01_tick", "--operator", "ada", *again)
    took = time.monotonic() - began
    id = ended.stdout.splitlines()[0]
    must(ended.returncode == 0 and ID.match(id), f"{ended}")
    said = ended.stdout + ended.stderr
    for command in ("logs", "show"):
        must(re.search(f"kubectl exec .*-- stopover {command} ", said), f"how to follow it: {said}")
    run = world.stopover.until("01_tick", "running")
    must(run["id"] == id and run["operator"] == "ada" and run["pod"] == world.staging.pod(), f"{run}")
    must(world.stopover.try_("run", "01_tick").returncode == 3, "a second launch is refused")
    return f"{took:.2f} s through kubectl exec"


@check
def kubectl_logs_shows_the_lines_of_a_run_whole_and_by_its_name(world):
    pod = world.staging.pod()
    eventually("three ticks in kubectl logs", lambda: world.staging.logs(pod).count("tick 3 of attempt 1"))
    lines = [line for line in world.staging.logs(pod).splitlines() if "of attempt" in line]
    broken = [line for line in lines if not re.search(r"\[01_tick\] tick \d+ of attempt \d+$", line)]
    must(not broken, f"{broken[:5]}")


@check
def the_log_file_can_be_copied_out(world):
    pod, run = world.staging.pod(), world.stopover.run("01_tick")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "run.log"
        world.staging.kubectl("cp", f"{pod}:/var/lib/stopover/runs/{run['id']}.log", str(file))
        must("tick 1 of attempt 1" in file.read_text(), "the file holds what was said")
    must("tick 1 of attempt 1\n" in world.stopover("logs", "01_tick", "--raw"), "and `logs --raw` says the same")


@check
def it_is_paused_resumed_and_cancelled_from_scripts(world):
    world.stopover("pause", "01_tick", "--wait")
    must(world.stopover.run("01_tick")["state"] == "paused", "it is paused")
    reached = world.stopover.run("01_tick")["done"]
    world.stopover("resume", "01_tick")
    world.stopover.until("01_tick", "running")
    eventually("it goes on from its checkpoint", lambda: world.stopover.run("01_tick")["done"] > reached)
    said = world.stopover("logs", "01_tick", "--raw")
    must(said.count(f"tick {reached + 1} of attempt") == 1 and f"tick {reached + 1} of attempt 2" in said, said[-300:])
    world.stopover("cancel", "01_tick", "--wait")
    must(world.stopover.run("01_tick")["state"] == "cancelled", "it is cancelled")


@check
def a_program_is_nobody_special_and_can_write_only_where_it_should(world):
    must(world.stopover.launch("05_whoami", "--wait").returncode == 0, "it succeeds")
    said = world.stopover("logs", "05_whoami", "--raw").split("\n")
    must("65532" in said, f"{said}")
    status = {line.split(":")[0]: line.split(":")[1].strip() for line in said if re.match(r"(CapEff|NoNewPrivs|Seccomp):", line)}
    must(int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1", f"{status}")
    for place in ("/", "/app", "/usr/local/bin", "/etc"):
        must(f"refused {place}" in said, f"{place}: {said}")
    must("writes /var/lib/stopover" in said, f"{said}")
    must(world.staging.try_("exec", world.staging.pod(), "--", "ls", "/var/run/secrets/kubernetes.io").returncode != 0, "no token")


@check
def an_image_that_knew_nothing_of_stopover_gains_it(world):
    world.teams.apply({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "migrations"},
        "spec": {
            "selector": {"matchLabels": {"app": "migrations"}},
            "template": {
                "metadata": {"labels": {"app": "migrations"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "migrations", "image": world.existing}]},
            },
        },
    })
    pod = world.teams.pod("app=migrations")
    old = world.teams.exec(pod, "node", "migration.js", "20240101_normalise", "false")
    must("20240101_normalise done" in old, "what they did before still works")
    # The form that operators know by heart, with Stopover in the place of node.
    world.teams.exec(pod, "/bin/sh", "-c", "nohup stopover run 20240101_normalise --rerun --wait > /proc/1/fd/1")
    eventually("kubectl logs has its lines", lambda: "[20240101_normalise] step 3" in world.teams.logs(pod))
    must("applied" in world.teams.exec(pod, "stopover", "list"), "and it is in the ledger")


@check
def the_manifests_take_that_image_as_well(world):
    """It is made for root, names no user, and its command is its own: the manifests say all that."""
    world.deploy("staging", world.gained, world.database.secret("stopover-mongodb", "operator", ledger=OTHER), image=world.existing)
    pod, stopover = world.gained.pod(), Stopover(world.gained)
    must(world.gained.exec(pod, "id", "-u").strip() == "65532", "it is nobody special")
    stopover("init", "--environment", "staging")
    ended = stopover.launch("20240101_normalise", "--wait")
    must(ended.returncode == 0, f"{ended}")
    run = stopover.run("20240101_normalise")
    must(run["state"] == "succeeded" and run["pod"] == pod, f"{run}")
    must("step 3" in world.gained.exec(pod, "cat", f"/var/lib/stopover/runs/{run['id']}.log"), "its log is in the state that is mounted")
    must(world.existing in stopover("show", "20240101_normalise"), "the record says which image it ran in")
    eventually("kubectl logs has its lines", lambda: "[20240101_normalise] step 3" in world.gained.logs(pod))
