"""The kubectl plugin, as operators have it: one file in a directory of PATH."""

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from cluster import KUBECTL, eventually, must
from runner import check
from terminal import Terminal
from world import ROOT

PLUGIN = ROOT / "assets/kubectl-stopover"


def plugin(cluster, *arguments):
    return [str(PLUGIN), "--namespace", cluster.namespace, *arguments]


def use(cluster, *arguments, **options):
    """KUBECTL is handed on as it is, of however many words."""
    environment = {**os.environ, "KUBECTL": shlex.join(KUBECTL), **options.pop("environment", {})}
    return subprocess.run(plugin(cluster, *arguments), capture_output=True, text=True, timeout=120, env=environment, stdin=subprocess.DEVNULL, **options)


def place(cluster, deployment, operator):
    """What it says before it runs anything."""
    context = cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={.current-context}")
    return f"context {context}, namespace {cluster.namespace}, deployment {deployment}, environment staging, as {operator}\n"


@check
def kubectl_finds_its_plugin(world):
    found = subprocess.run([*KUBECTL, "plugin", "list"], capture_output=True, text=True, env={**os.environ, "PATH": f"{PLUGIN.parent}:{os.environ['PATH']}"})
    must(str(PLUGIN) in found.stdout, f"{found}")


@check
def the_plugin_says_where_it_is_and_lists(world):
    ended = use(world.staging, "--operator", "ada", "list", "--json")
    must(ended.returncode == 0 and ended.stderr.startswith(place(world.staging, "stopover", "ada")), f"{ended}")
    must("03_quick" in {row["id"] for row in json.loads(ended.stdout)}, f"{ended}")
    elsewhere = use(world.staging, "--expect", "production", "list")
    must(elsewhere.returncode == 2 and not elsewhere.stdout and "nothing was run" in elsewhere.stderr, f"{elsewhere}")


@check
def the_plugin_launches_in_the_name_of_who_uses_it(world):
    again = ["--rerun"] if world.stopover.run("03_quick") else []
    for arguments, environment, operator in (
        (["--operator", "grace hopper"], {}, "grace hopper"),
        ([], {"STOPOVER_OPERATOR": "lin"}, "lin"),
    ):
        ended = use(world.staging, *arguments, "run", "03_quick", "--wait", *again, environment=environment)
        must(ended.returncode == 0 and ended.stderr.startswith(place(world.staging, "stopover", operator)), f"{ended}")
        run = world.stopover.run("03_quick")
        must(run["state"] == "succeeded" and run["operator"] == operator, f"{run}")
        again = ["--rerun"]
    must(use(world.staging, "run", "03_quick").returncode not in (0, 2), "a refusal of the product is its own")


@check
def the_plugin_copies_a_log_out_byte_for_byte(world):
    with tempfile.TemporaryDirectory() as directory:
        ended = use(world.staging, "cp", "03_quick", cwd=directory)
        must(ended.returncode == 0 and ended.stdout == "03_quick.log\n", f"{ended}")
        copied = (Path(directory) / "03_quick.log").read_text()
        must(copied == "Zahlungsempfänger 支払い 💸 é done\n", copied)
        must(use(world.staging, "cp", "03_quick", cwd=directory).returncode == 2, "what is there is not overwritten")


@check
def the_plugin_opens_the_console_and_the_monitor_in_a_terminal(world):
    world.stopover.launch("01_tick")
    environment = ["env", f"KUBECTL={shlex.join(KUBECTL)}"]
    with Terminal([*environment, *plugin(world.staging, "--operator", "ada")], 120, 40) as terminal:
        terminal.shows("01_tick", "connected", "ada @")
        terminal.type("q")
        terminal.shows(place(world.staging, "stopover", "ada")[:100], "ended with 0")
    with Terminal([*environment, *plugin(world.watched, "monitor")], 120, 40) as wall:
        wall.shows("01_tick", "READ-ONLY", "tick ")
        wall.type("q")
        wall.shows("deployment stopover-monitor", "ended with 0")
    eventually("nobody is left in the monitor", lambda: not world.monitor.consoles(), 30)
    world.stopover("cancel", "01_tick", "--wait")
