"""What others see of runs from outside: a collector that is in the cluster, Prometheus, and whoever reads what pods print."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request

from cluster import eventually, must
from runner import check

# Beside the database, whose image has a collector of OTLP.
COLLECTOR = "collector"

# As docs/observability.md has them.
TOLD = {
    "STOPOVER_LOG_FORMAT": "ecs",
    "STOPOVER_LISTEN": "0.0.0.0:8080",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
}


def collector(world):
    """Starts one that prints what it is told; answers its address."""
    cluster = world.database.cluster
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": COLLECTOR, "labels": {"app": COLLECTOR}},
            "spec": {
                "containers": [{
                    "name": COLLECTOR,
                    "image": world.database.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["rotel", "start", "--exporter", "blackhole", "--otlp-grpc-endpoint", "0.0.0.0:4317",
                                "--debug-log", "traces", "--debug-log-verbosity", "detailed", "--pid-file", "/tmp/collector.pid"],
                }],
            },
        },
    )  # fmt: skip
    cluster.pod(f"app={COLLECTOR}")
    # Not every cluster that these checks are run in has names.
    ip = json.loads(cluster.kubectl("get", "pod", COLLECTOR, "-o", "json"))["status"]["podIP"]
    return f"http://{ip}:4317"


@contextlib.contextmanager
def observed(world):
    """The pod of staging, told where to send what; as it was before, afterwards."""
    told = {**TOLD, "OTEL_EXPORTER_OTLP_ENDPOINT": collector(world)}

    def tell(*variables):
        world.staging.kubectl("set", "env", "deploy/stopover", *variables)
        world.staging.kubectl("rollout", "status", "deploy/stopover", "--timeout=120s")
        return world.staging.pod()

    # The policy lets out names and the database; as the documentation says, the collector is added.
    policy = world.staging.kubectl("get", "networkpolicy", "stopover", "-o", "json")
    egress = [*json.loads(policy)["spec"]["egress"], {"ports": [{"protocol": "TCP", "port": 4317}]}]
    world.staging.kubectl("patch", "networkpolicy", "stopover", "--type=merge", "-p", json.dumps({"spec": {"egress": egress}}))
    try:
        yield tell(*(f"{name}={value}" for name, value in told.items()))
    finally:
        tell(*(f"{name}-" for name in told))


@contextlib.contextmanager
def forwarded(world, pod, port):
    """A port of a pod, brought to this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        here = free.getsockname()[1]
    forward = subprocess.Popen(world.staging.command("port-forward", pod, f"{here}:{port}"), stdout=subprocess.DEVNULL)
    try:
        def is_open():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", here)) == 0
        eventually("the port is brought here", is_open)
        yield here
    finally:
        forward.terminate()
        forward.wait()


def spans(world, trace):
    """Names of the spans of a trace that have come to the collector."""
    said = world.database.cluster.logs(COLLECTOR)
    found = re.findall(r"Trace ID\s*: (\w+)\n.*\n\s*ID\s*: \w+\n\s*Name\s*: (.*)", said)
    return [name for of, name in found if of == trace]


@check
def a_run_is_a_trace_lines_with_its_ids_and_figures(world):
    with observed(world) as pod:
        report = world.stopover("doctor")
        must(re.search(r"ok +telemetry", report), report)
        began = time.monotonic()
        must(world.stopover.launch("03_quick", "--wait").returncode == 0, "it succeeds")
        run = world.stopover.run("03_quick")
        trace = run["id"].replace("-", "")
        names = eventually("the trace is whole", lambda: "03_quick" in spans(world, trace) and spans(world, trace))
        arrived = time.monotonic() - began
        must(sorted(names) == ["03_quick", "attempt 1", "launch 03_quick"], f"{names}")

        lines = [json.loads(line) for line in world.staging.logs(pod).splitlines()]
        own = [line for line in lines if line.get("trace.id") == trace]
        must(any("支払い" in line["message"] for line in own), f"what the program printed is there: {own}")
        must(all("ecs.version" in line for line in lines), f"each is of a version of the schema: {lines}")

        with forwarded(world, pod, 8080) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            page = answer.read().decode()
        promtool = shutil.which("promtool")
        must(promtool, "promtool is missing: apt-get install prometheus")
        checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True)
        must(checked.returncode == 0 and 'stopover_lease_renewals_total{migration="03_quick"' in page, f"{checked}\n{page}")
    return f"{len(names)} spans within {arrived:.1f} s of the launch, {len(own)} lines, {len(page.splitlines())} lines of figures"


@check
def a_collector_that_is_gone_holds_nothing_up(world):
    with observed(world):
        world.database.cluster.kubectl("delete", "pod", COLLECTOR, "--grace-period=0", "--force")
        must(world.stopover.launch("03_quick", "--wait").returncode == 0, "it succeeds")
        report = world.stopover("doctor")
        must(re.search(r"warning +telemetry", report), report)
