"""The console in a real terminal at the end of a real `kubectl exec -it`, and what becomes of it when the line breaks."""

import re
import subprocess
import sys
import time
from pathlib import Path

from cluster import KUBECTL, eventually, must
from runner import check
from terminal import Terminal

# How long a console may outlive its terminal, on a line that was quick. The rest is kubectl's, and this machine's.
WITHIN = 5
LEEWAY = 3


def console(world, columns=80, rows=24, server=(), verb=()):
    return Terminal(world.staging.command("exec", *server, "-it", "deploy/stopover", "--", "stopover", *verb), columns, rows)


def is_gone(world):
    """Waits until no console is left in the pod, and answers after how long."""
    began = time.monotonic()
    eventually("no console is left in the pod", lambda: not world.stopover.consoles(), WITHIN + LEEWAY)
    return time.monotonic() - began


def select(terminal, name):
    """Leaves just this migration in the list."""
    terminal.type("/")
    terminal.type("-l", name)
    terminal.type("Enter")
    terminal.shows(name)


def tick(world):
    if (world.stopover.run("01_tick") or {}).get("state") != "running":
        world.stopover.launch("01_tick")
    world.stopover.until("01_tick", "running")


def goes_on(world):
    before = world.stopover.run("01_tick")
    eventually("the run goes on", lambda: world.stopover.run("01_tick")["done"] > before["done"])
    must(before["state"] == "running" and world.stopover.run("01_tick")["attempt"] == before["attempt"], f"{before}")


class Line:
    """A line between kubectl and the API server that can be slow, silent or cut."""

    def __init__(self):
        view = subprocess.run([*KUBECTL, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"], capture_output=True, text=True, check=True)
        host = re.sub(r"^https://|/$", "", view.stdout)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("wire.py")), host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.options = ["--server", f"https://127.0.0.1:{self.process.stdout.readline().strip()}", "--tls-server-name", host.rsplit(":", 1)[0]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()


@check
def the_console_opens_at_the_terminal_s_size_and_measures_wide_characters(world):
    for columns, rows in ((80, 24), (200, 60)):
        with console(world, columns, rows) as terminal:
            screen = terminal.shows("01_tick", "connected", "staging")
            lines = screen.split("\n")
            must(len(lines[0]) > columns - 12 and lines[rows - 1].strip(), f"it fills {columns}x{rows}:\n{screen}")
            terminal.type("g")
            # A wide character that is measured wrongly moves the right edge.
            terminal.shows("支払い in a description is measured well")
            terminal.type("q")
            terminal.shows("ended with 0")


@check
def a_run_is_launched_from_the_console_and_goes_on_when_kubectl_is_killed(world):
    with console(world) as terminal:
        terminal.shows("connected")
        select(terminal, "01_tick")
        terminal.type("r" if world.stopover.run("01_tick") is None else "R")
        screen = terminal.shows("enter")
        if "again" in screen:
            terminal.type("-l", "again")
        terminal.type("Enter")
        world.stopover.until("01_tick", "running")
        terminal.shows("running")
        # The console has asked its terminal once, and knows that somebody is there.
        time.sleep(4)
        must(len(world.stopover.consoles()) == 1, f"{world.stopover.processes()}")
        terminal.kill_client()
        took = is_gone(world)
    goes_on(world)
    return f"the console was gone {took:.1f} s after its client"


@check
def a_line_that_falls_silent_and_one_that_is_cut_leave_no_console_behind(world):
    tick(world)
    said = []
    for fault in ("freeze", "cut"):
        with Line() as line, console(world, server=line.options) as terminal:
            terminal.shows("01_tick", "connected")
            time.sleep(4)
            line.say(fault)
            said.append(f"{fault}: {is_gone(world):.1f} s")
    goes_on(world)
    return ", ".join(said)


@check
def a_slow_line_stays_usable(world):
    with Line() as line, console(world, 200, 60, server=line.options) as terminal:
        terminal.shows("connected", "02_talk")
        line.say("rate 20000")
        world.stopover.launch("02_talk")
        select(terminal, "02_talk")
        terminal.type("l")
        terminal.shows("line 4", patience=60)
        answers = []
        for _ in range(5):
            began = time.monotonic()
            terminal.type("?")
            terminal.shows("Act on the selected", patience=20)
            answers.append(time.monotonic() - began)
            terminal.type("Escape")
            eventually("the help is closed", lambda: "Act on the selected" not in terminal.screen(), 20)
        must(len(world.stopover.consoles()) == 1, "it is not taken for dead")
        line.say("rate 0")
        terminal.type("q")
        terminal.shows("ended with 0")
    world.stopover.until("02_talk", "succeeded")
    return f"200x60 at 20 kB/s: a key shows after {sorted(answers)[2]:.1f} s (median of 5)"


@check
def resizes_and_pastes_are_survived(world):
    with console(world) as terminal:
        terminal.shows("connected")
        for columns, rows in ((200, 60), (20, 5), (132, 43), (80, 24)):
            terminal.resize(columns, rows)
            time.sleep(0.5)
        terminal.shows("01_tick", "q quit")
        before = len(world.stopover.json("runs"))
        terminal.paste("R\nrun\nagain\n" * 200)
        time.sleep(1)
        terminal.type("Escape")
        terminal.shows("q quit")
        must(len(world.stopover.json("runs")) == before, "a paste launches nothing")
        terminal.type("q")
        terminal.shows("ended with 0")


@check
def an_idle_console_costs_nothing_and_stays(world):
    with console(world) as terminal:
        terminal.shows("connected")
        [pid] = world.stopover.consoles()

        def ticks():
            fields = world.staging.exec("deploy/stopover", "cat", f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        time.sleep(60)
        used = ticks() - before
        must(used < 100, f"{used} ticks in a minute: it spins")
        must(world.stopover.consoles() == [pid], "and it stays")
        terminal.type("q")
        terminal.shows("ended with 0")
    return f"{used} ticks of 10 ms in a minute"
