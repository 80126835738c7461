"""The console in a real terminal at the end of a real `kubectl exec -it`, and what becomes of it when the line breaks."""

import re
import statistics
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

from cluster import KUBECTL, Failed, eventually, must
from runner import check
from terminal import Terminal

# How long a console may outlive its terminal, on a line that was quick. The rest is kubectl's, and this machine's.
WITHIN = 5
LEEWAY = 2

# How long a key may take on a slow line while a program floods the screen, and the first frame on a good one. Far more than they should.
ANSWERED = 5
FIRST_FRAME = 10


def console(world, columns=80, rows=24, server=(), verb=()):
    return Terminal(world.staging.command("exec", *server, "-it", "deploy/stopover", "--", "stopover", *verb), columns, rows)


def outlives(world, fault):
    """Breaks the line of the only console, and answers how long that lived on, by the clock of the pod."""
    consoles = world.stopover.consoles()
    must(len(consoles) == 1, f"there is one console before the fault: {world.stopover.processes()}")
    script = f"echo watching; while [ -e /proc/{consoles[0]} ]; do sleep 0.1; done; cat /proc/uptime"
    watch = subprocess.Popen(world.staging.command("exec", world.stopover.target, "--", "sh", "-c", script), stdout=subprocess.PIPE, text=True)
    must(watch.stdout.readline() == "watching\n", "it is watched")
    began = world.stopover.uptime()
    fault()
    try:
        ended = float(watch.communicate(timeout=60)[0].split()[0])
    except subprocess.TimeoutExpired:
        watch.kill()
        raise Failed(f"a minute later the console still is there: {world.stopover.processes()}") from None
    must(ended - began < WITHIN + LEEWAY, f"the console outlives its terminal by {ended - began:.1f} s")
    must(not world.stopover.consoles(), "no console is left in the pod")
    return ended - began


def width(text):
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def edges(screen):
    """The columns of the left and the right border of a dialog, in each of its lines."""
    lines = screen.split("\n")
    top = next(row for row, line in enumerate(lines) if "╭" in line)
    bottom = next(row for row, line in enumerate(lines) if "╰" in line)
    borders = [re.match(r"([^╭│╰]*)[╭│╰](.*)[╮│╯]", line) for line in lines[top : bottom + 1]]
    must(all(borders), f"both borders are in every line:\n{screen}")
    return [(width(border[1]), width(border[0])) for border in borders]


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
        server = urlsplit(view.stdout)
        # Without a port it is that of HTTPS.
        host, port = server.hostname, server.port or 443
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("wire.py")), f"{host}:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.options = ["--server", f"https://127.0.0.1:{self.process.stdout.readline().strip()}", "--tls-server-name", host]

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
def the_first_frame_is_there_soon_and_fills_a_terminal_whose_size_is_told_after_it_is_attached(world):
    took = []
    for columns, rows in ((80, 24), (200, 60)):
        began = time.monotonic()
        with console(world, columns, rows) as terminal:
            def filled():
                lines = terminal.screen().split("\n")
                return "q quit" in lines[rows - 1] and len(lines[0]) > columns - 12 and lines
            lines = eventually(f"a frame fills {columns}x{rows}", filled, FIRST_FRAME)
            took.append(time.monotonic() - began)
            must(sum("q quit" in line for line in lines) == 1, "nothing is left of a frame for another size:\n" + "\n".join(lines))
            terminal.type("q")
            terminal.shows("ended with 0")
    return f"within {', '.join(f'{seconds:.1f} s' for seconds in took)}"


@check
def the_console_opens_at_the_terminal_s_size_and_measures_wide_characters(world):
    for columns, rows in ((80, 24), (200, 60)):
        with console(world, columns, rows) as terminal:
            screen = terminal.shows("01_tick", "connected", "staging")
            lines = screen.split("\n")
            must(len(lines[0]) > columns - 12 and lines[rows - 1].strip(), f"it fills {columns}x{rows}:\n{screen}")
            terminal.type("g")
            terminal.shows("支払い in a description is measured well")
            # A wide character that is measured wrongly moves what is right of it: here, the edge of the dialog, over a text that has some, too.
            terminal.type("r" if world.stopover.run("01_tick") is None else "R")
            screen = terminal.shows("╭", "支払い in a description is measured well", "╯")
            must(len(set(edges(screen))) == 1, f"the edges are straight: {edges(screen)}\n{screen}")
            terminal.type("Escape")
            eventually("the dialog is closed", lambda: "╭" not in terminal.screen(), 20)
            terminal.type("q")
            terminal.shows("ended with 0")


@check
def a_run_is_launched_from_the_console_and_goes_on_when_kubectl_is_killed(world):
    with console(world) as terminal:
        terminal.shows("connected")
        select(terminal, "01_tick")
        terminal.type("r" if world.stopover.run("01_tick") is None else "R")
        screen = terminal.shows("╭", "enter", "╯")
        if "again" in screen:
            terminal.type("-l", "again")
        terminal.type("Enter")
        world.stopover.until("01_tick", "running")
        terminal.shows("running")
        # The console has asked its terminal once, and knows that somebody is there.
        time.sleep(4)
        took = outlives(world, terminal.kill_client)
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
            said.append(f"{fault}: {outlives(world, lambda: line.say(fault)):.1f} s")
    goes_on(world)
    return ", ".join(said)


@check
def who_follows_a_log_without_a_terminal_and_loses_the_client_disturbs_nothing_and_ends_with_the_run(world):
    """The cluster tells the pod nothing when such a client dies: the pipe stays open, and takes some 128 KB more. What ends who follows is the run's end."""
    tick(world)
    follow = "stopover logs 01_tick -f"
    client = subprocess.Popen(world.staging.command("exec", world.stopover.target, "--", *follow.split()), stdout=subprocess.PIPE)
    must(any(b"tick " in line for line in client.stdout), "it follows")
    must(len(world.stopover.of(follow)) == 1, f"{world.stopover.processes()}")
    client.kill()
    client.wait()
    goes_on(world)
    left = len(world.stopover.of(follow))
    world.stopover("cancel", "01_tick", "--wait")
    eventually("nobody follows in the pod", lambda: not world.stopover.of(follow), 30)
    return f"{left} left while the run went on, none after it"


def chatter(terminal):
    """The last of the numbered lines on the screen."""
    return max((int(number) for number in re.findall(r"chatter (\d{7}) of", terminal.screen())), default=0)


@check
def a_slow_line_stays_usable_while_a_program_floods_it(world):
    with Line() as line, console(world, 200, 60, server=line.options) as terminal:
        terminal.shows("connected", "07_chatter")
        line.say("rate 20000")
        world.stopover.close("07_chatter")
        world.stopover.launch("07_chatter")
        world.stopover.until("07_chatter", "running")
        select(terminal, "07_chatter")
        terminal.type("l")
        terminal.shows("of a program that does not stop", patience=60)
        answers = []
        for _ in range(5):
            before = chatter(terminal)
            began = time.monotonic()
            terminal.type("?")
            terminal.shows("Act on the selected", patience=30)
            answers.append(time.monotonic() - began)
            terminal.type("Escape")
            eventually("the help is closed", lambda: "Act on the selected" not in terminal.screen(), 30)
            eventually("the lines go on", lambda: chatter(terminal) not in (0, before), 30)
        must(len(world.stopover.consoles()) == 1, "it is not taken for dead")
        must(world.stopover.run("07_chatter")["state"] == "running", "it has not stopped talking")
        line.say("rate 0")
        terminal.type("q")
        terminal.shows("ended with 0")
    world.stopover("cancel", "07_chatter", "--wait")
    median = statistics.median(answers)
    must(median < ANSWERED, f"a key shows only after {answers} s")
    return f"200x60 at 20 kB/s, 200 lines a second: a key shows after {median:.1f} s (median of 5, the slowest {max(answers):.1f} s)"


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
