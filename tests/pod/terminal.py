"""A real terminal (tmux) in which a real kubectl runs."""

import os
import shlex
import signal
import subprocess
import time

from cluster import eventually, must

SOCKET = f"stopover-e2e-{os.getpid()}"


def tmux(*arguments, check=True):
    return subprocess.run(["tmux", "-L", SOCKET, "-f", "/dev/null", *arguments], check=check, capture_output=True, text=True)


class Terminal:
    """One window with one command in it."""

    def __init__(self, command, columns=80, rows=24):
        self.name = f"t{time.monotonic_ns()}"
        # What is left on the screen when the command has ended is to be read.
        line = shlex.join(command) + "; printf '\\nended with %s\\n' $?; exec sleep 1000"
        tmux("new-session", "-d", "-s", self.name, "-x", str(columns), "-y", str(rows), line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        tmux("kill-session", "-t", self.name, check=False)

    def screen(self):
        return tmux("capture-pane", "-p", "-t", self.name).stdout

    def shows(self, *texts, patience=30):
        """Waits until all of these are on the screen, and returns it."""
        def all_of_them():
            screen = self.screen()
            return screen if all(text in screen for text in texts) else None
        try:
            return eventually(f"the screen shows {texts}", all_of_them, patience)
        except AssertionError as failed:
            raise type(failed)(f"{failed}; the screen:\n{self.screen()}") from None

    def type(self, *keys):
        tmux("send-keys", "-t", self.name, *keys)

    def paste(self, text):
        subprocess.run(["tmux", "-L", SOCKET, "load-buffer", "-"], input=text, text=True, check=True)
        tmux("paste-buffer", "-p", "-t", self.name)

    def resize(self, columns, rows):
        tmux("resize-window", "-t", self.name, "-x", str(columns), "-y", str(rows))

    def kubectl(self):
        """The pids of the kubectl in it."""
        shell = int(tmux("display-message", "-p", "-t", self.name, "#{pane_pid}").stdout)
        return [pid for pid in descendants(shell) if b"exec" in command_line(pid)]

    def kill_client(self):
        """Kills kubectl so that it can say nothing any more."""
        pids = self.kubectl()
        must(pids, f"no kubectl runs in this terminal:\n{self.screen()}")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def descendants(pid):
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True).stdout.split()
        found += [int(child) for child in children]
        queue += [int(child) for child in children]
    return found


def close_all():
    tmux("kill-server", check=False)
