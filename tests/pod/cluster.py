"""The cluster, by the real kubectl, and waiting for what it does."""

import json
import os
import shlex
import subprocess
import time

KUBECTL = shlex.split(os.environ.get("KUBECTL", "kubectl"))
PATIENCE = 90

# What tells the namespaces of these checks from those of others. Only these are ever deleted.
LABEL = "stopover-e2e"


class Failed(AssertionError):
    """A check did not hold."""


def must(condition, why):
    if not condition:
        raise Failed(why)


def eventually(what, probe, patience=PATIENCE):
    """Asks `probe` until it answers something true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"waited {patience} s in vain: {what}; the last answer was {answer!r}")
        time.sleep(0.25)


class Cluster:
    """kubectl in one namespace, as the administrator or as somebody else."""

    def __init__(self, namespace, user=None):
        self.namespace = namespace
        self.user = user

    def command(self, *arguments):
        who = ["--as", self.user] if self.user else []
        return [*KUBECTL, "--namespace", self.namespace, *who, *arguments]

    def try_(self, *arguments, stdin=None, timeout=120):
        return subprocess.run(self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=timeout)

    def kubectl(self, *arguments, stdin=None, timeout=120):
        ended = self.try_(*arguments, stdin=stdin, timeout=timeout)
        must(ended.returncode == 0, f"kubectl {' '.join(arguments)}: status {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def refuses(self, *arguments):
        """Whether the API server says that this user must not."""
        ended = self.try_(*arguments)
        return ended.returncode != 0 and "orbidden" in ended.stderr

    def context(self):
        """How kubectl calls the cluster that it is set to."""
        return self.try_("config", "current-context").stdout.strip() or "(none)"

    def claim(self):
        """Makes the namespace, with the label that says whose it is. Refuses one that is there and has no such label."""
        found = self.try_("get", "namespace", self.namespace, "-o", "json")
        if found.returncode == 0:
            must(LABEL in json.loads(found.stdout)["metadata"].get("labels", {}), f"the namespace {self.namespace} is not of these checks: it has no label {LABEL}")
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": {LABEL: "true"}}})

    def apply(self, *documents):
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))

    def pods(self, selector="app.kubernetes.io/name=stopover"):
        """The pods that are not on their way out, oldest first."""
        items = json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        items = [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]
        return sorted(items, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def pod(self, selector="app.kubernetes.io/name=stopover"):
        """The name of the one pod that is ready, once it is the only one."""
        def only():
            pods = self.pods(selector)
            ready = [pod for pod in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))]
            return ready[0]["metadata"]["name"] if len(pods) == 1 and ready else None
        return eventually(f"one ready pod of {selector} in {self.namespace}", only)

    def exec(self, pod, *program, stdin=None):
        return self.kubectl("exec", *(["-i"] if stdin is not None else []), pod, "--", *program, stdin=stdin)

    def logs(self, pod, *options):
        return self.kubectl("logs", pod, *options)


class Stopover:
    """The product in a pod of a deployment."""

    def __init__(self, cluster, deployment="stopover"):
        self.cluster = cluster
        self.target = f"deploy/{deployment}"

    def try_(self, *arguments):
        return self.cluster.try_("exec", self.target, "--", "stopover", *arguments)

    def __call__(self, *arguments):
        return self.cluster.exec(self.target, "stopover", *arguments)

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json"))

    def run(self, migration):
        """The latest run of a migration, with its events."""
        runs = self.json("show", migration)["runs"]
        return runs[0] if runs else None

    def launch(self, migration, *options):
        """Launches it, whether it has run before or not."""
        again = ["--rerun"] if self.run(migration) else []
        return self.try_("run", migration, *again, *options)

    def close(self, migration):
        """Cancels its run, should that be open."""
        run = self.run(migration)
        if run and run["state"] in ("running", "paused", "interrupted", "lost"):
            self("cancel", migration, "--wait")

    def until(self, migration, *states, patience=PATIENCE):
        def reached():
            # Its pod may be on its way.
            shown = self.try_("show", migration, "--json")
            runs = json.loads(shown.stdout)["runs"] if shown.returncode == 0 else []
            return runs[0] if runs and runs[0]["state"] in states else None
        try:
            return eventually(f"{migration} is {' or '.join(states)}", reached, patience)
        except Failed as failed:
            raise Failed(f"{failed}; it is {self.run(migration)}") from None

    def processes(self):
        """The command lines of what runs in the pod, by pid."""
        script = 'for p in /proc/[0-9]*; do printf "%s %s\\n" "${p#/proc/}" "$(tr "\\0" " " <$p/cmdline 2>/dev/null)"; done'
        lines = self.cluster.exec(self.target, "sh", "-c", script).splitlines()
        return {int(line.split(" ", 1)[0]): line.split(" ", 1)[1].strip() for line in lines}

    def consoles(self):
        """The pids of consoles: the binary without a verb."""
        return self.of("stopover", "stopover console", "stopover watch")

    def of(self, *lines):
        """The pids of what was called just like this."""
        return [pid for pid, line in self.processes().items() if line in lines]

    def uptime(self):
        """The seconds of the node's clock, which stands still for nobody."""
        return float(self.cluster.exec(self.target, "cat", "/proc/uptime").split()[0])
