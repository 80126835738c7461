"""Who may do what: roles in the cluster, and the monitor that only looks."""

import uuid

from cluster import eventually, must
from runner import check
from terminal import Terminal

# Unknown to the cluster, whatever was left by a run before.
OPERATOR, VIEWER = f"olga-{uuid.uuid4()}", f"vera-{uuid.uuid4()}"


def bind(cluster, role, user):
    cluster.apply({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })


def as_user(cluster, user):
    return type(cluster)(cluster.namespace, user)


@check
def an_operator_may_exec_and_read_logs_and_nothing_more(world):
    operator = as_user(world.staging, OPERATOR)
    must(operator.refuses("get", "pods"), "nobody may anything before they are bound")
    bind(world.staging, "stopover-operator", OPERATOR)
    must("01_tick" in operator.kubectl("exec", "deploy/stopover", "--", "stopover", "list"), "exec works")
    must(operator.kubectl("logs", "deploy/stopover", "--tail=1"), "logs work")
    pod = world.staging.pod()
    for refused in (
        ["delete", "pod", pod],
        ["get", "secrets"],
        ["set", "image", "deploy/stopover", "stopover=other"],
        ["scale", "deploy/stopover", "--replicas=0"],
        ["get", "deployments"],
        ["run", "other", "--image=other"],
        ["port-forward", pod, "18080:8080"],
    ):
        must(operator.refuses(*refused), f"{refused} is refused")


@check
def the_monitor_is_deployed_with_a_user_that_can_only_find(world):
    world.deploy("monitor", world.watched, world.database.secret("stopover-monitor-mongodb", "viewer"))
    # What is watched here is staging.
    world.watched.kubectl("set", "env", "deploy/stopover-monitor", "STOPOVER_ENVIRONMENT=staging")
    world.watched.kubectl("rollout", "status", "deploy/stopover-monitor", "--timeout=120s")
    world.watched.pod()
    listed = world.monitor.json("list")
    must({"01_tick", "03_quick"} <= {row["id"] for row in listed}, f"{listed}")
    must("tick 1 of attempt" in world.monitor("logs", "01_tick", "--raw"), "and it reads what runs printed, in pods that are gone")


@check
def a_viewer_sees_everything_in_the_monitor_and_execs_nowhere_else(world):
    viewer = as_user(world.staging, VIEWER)
    bind(world.staging, "stopover-viewer", VIEWER)
    bind(world.watched, "stopover-viewer", VIEWER)
    must(viewer.kubectl("logs", "deploy/stopover", "--tail=1"), "logs are for viewers")
    must(viewer.refuses("exec", "deploy/stopover", "--", "stopover", "list"), "exec into the operators' pod is not")
    must(viewer.refuses("exec", "deploy/stopover", "--", "sh", "-c", "cat /var/run/secrets/mongodb/uri"), "nor is its secret")
    watching = as_user(world.watched, VIEWER)
    must("01_tick" in watching.kubectl("exec", "deploy/stopover-monitor", "--", "stopover", "list"), "but into the monitor")
    must(watching.refuses("get", "secrets"), "secrets are not for viewers")


@check
def nothing_can_be_changed_from_the_monitor_by_product_nor_by_force(world):
    before = world.database.content()
    refused = world.monitor.try_("run", "03_quick")
    must(refused.returncode == 7 and "STOPOVER_READ_ONLY" in refused.stderr, f"{refused}")
    # Whoever may exec may also unset the variable, and read the connection string. The database is what holds then.
    forced = world.watched.try_("exec", "deploy/stopover-monitor", "--", "env", "-u", "STOPOVER_READ_ONLY", "stopover", "run", "03_quick", "--rerun")
    must(forced.returncode != 0 and "lacks the privilege" in forced.stderr, f"{forced}")
    uri = world.watched.exec("deploy/stopover-monitor", "cat", "/var/run/secrets/mongodb/uri")
    for collection in ("stopover_runs", "stopover_logs", "stopover_passport", "payouts"):
        said = world.database.forces(uri, collection)
        must(len(said) == 4 and set(said.values()) == {"Unauthorized"}, f"{collection}: {said}")
    must(world.database.content() == before, "every document is as it was")
    return forced.stderr.splitlines()[0]


@check
def the_wall_shows_what_runs_and_knows_one_key(world):
    world.stopover.launch("01_tick")
    command = as_user(world.watched, VIEWER).command("exec", "-it", "deploy/stopover-monitor", "--", "stopover", "watch", "--every", "3s")
    with Terminal(command, 120, 40) as wall:
        wall.shows("01_tick", "running", "tick ")
        for key in ("p", "c", "Enter"):
            wall.type(key)
        wall.shows("takes no keys but q")
        reached = world.stopover.run("01_tick")["done"]
        eventually("keys change nothing: it goes on", lambda: world.stopover.run("01_tick")["done"] > reached)
        must(world.stopover.run("01_tick")["state"] == "running", "and neither is it paused")
        wall.type("q")
        wall.shows("ended with 0")
    world.stopover("cancel", "01_tick", "--wait")
