"""What it costs here, beside what the cluster itself costs. Nothing in these fails for being slow."""

import statistics
import subprocess
import time

from check_terminals import console
from cluster import must
from runner import check


def seconds(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


@check
def from_nothing_to_ready(world):
    def start():
        world.staging.kubectl("scale", "deploy/stopover", "--replicas=1")
        world.staging.kubectl("wait", "--for=condition=Available", "deploy/stopover", "--timeout=120s")

    figures = []
    for _ in range(3):
        world.staging.kubectl("scale", "deploy/stopover", "--replicas=0")
        world.staging.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=stopover", "--timeout=120s")
        figures.append(seconds(start))
    world.staging.pod()
    return f"cold start to available: {statistics.median(figures):.1f} s (median of 3, image on the node)"


@check
def attaching(world):
    bare, attached = [], []
    for _ in range(5):
        bare.append(seconds(lambda: world.staging.exec("deploy/stopover", "true")))

        def attach():
            with console(world) as terminal:
                terminal.shows("connected")
                terminal.type("q")

        attached.append(seconds(attach))
    bare, attached = statistics.median(bare), statistics.median(attached)
    return f"kubectl exec true {bare:.2f} s, console with its list and the ledger's answer {attached:.2f} s, polled every 0.25 s: {attached / bare:.1f} times"


@check
def bytes_through_exec(world):
    # In this pod, so that both read the same file.
    pod = world.staging.pod()
    must(world.stopover.launch("02_talk", "--wait").returncode == 0, "it succeeds")
    run = world.stopover.run("02_talk")

    def rate(*program):
        began = time.monotonic()
        ended = subprocess.run(world.staging.command("exec", pod, "--", *program), capture_output=True, timeout=300)
        must(len(ended.stdout) > 10_000_000, f"{ended.stderr[-300:]}")
        return len(ended.stdout) / (time.monotonic() - began) / 1e6

    ours, plain = [], []
    for _ in range(3):
        ours.append(rate("stopover", "logs", "02_talk", "--raw"))
        plain.append(rate("cat", f"/var/lib/stopover/runs/{run['id']}.log"))
    ours, plain = statistics.median(ours), statistics.median(plain)
    return f"stopover logs --raw {ours:.0f} MB/s, cat {plain:.0f} MB/s, ratio {ours / plain:.2f} (medians of 3, interleaved)"
