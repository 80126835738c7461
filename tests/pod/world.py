"""What the checks share: images, the clusters' corners, the product, its database."""

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from cluster import KUBECTL, LABEL, Cluster, Stopover, must
from database import Database

ROOT = Path(__file__).resolve().parents[2]


def image(variable):
    name = os.environ.get(variable)
    must(name, f"{variable} is not set: run scripts/e2e-pod, which builds and names the images")
    return name


def edit(file, pattern, replacement):
    text, found = re.subn(pattern, replacement, file.read_text())
    must(found == 1, f"{pattern} is {found} times in {file}")
    file.write_text(text)


class World:
    def __init__(self):
        self.first = image("FIRST_IMAGE")
        self.second = image("SECOND_IMAGE")
        self.existing = image("EXISTING_IMAGE")
        # Not the namespaces of the overlays: those may be somebody's.
        self.staging = Cluster("stopover-e2e-staging")
        self.watched = Cluster("stopover-e2e-monitor")
        self.teams = Cluster("stopover-e2e-team")
        self.gained = Cluster("stopover-e2e-gained")
        self.stopover = Stopover(self.staging)
        self.monitor = Stopover(self.watched, "stopover-monitor")
        self.database = Database(Cluster("stopover-e2e-database"), image("DATABASE_IMAGE"))
        print(f"the cluster is that of the context {self.staging.context()}, by: {shlex.join(KUBECTL)}", flush=True)
        for cluster in (self.staging, self.watched, self.teams, self.gained, self.database.cluster):
            cluster.claim()

    def deploy(self, overlay, cluster, *more, image=None):
        """Applies an overlay with image and namespace of these checks, as a user does who edits their copy."""
        if more:
            cluster.apply(*more)
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "k8s"
            shutil.copytree(ROOT / "k8s", copy)
            directory = copy / "overlays" / overlay
            name, tag = (image or self.first).rsplit(":", 1)
            edit(directory / "kustomization.yaml", r"newName: \S+, newTag: [^ ]+", f"newName: {name}, newTag: {tag}")
            edit(directory / "kustomization.yaml", r"(?m)^namespace: .*$", f"namespace: {cluster.namespace}")
            edit(directory / "namespace.yaml", r"(?m)^  name: .*$", f"  name: {cluster.namespace}")
            edit(directory / "namespace.yaml", r"(?m)^  labels:$", f'  labels:\n    {LABEL}: "true"')
            cluster.kubectl("apply", "-k", str(directory))

    def forget(self):
        """Deletes every namespace of the checks, and no other."""
        self.staging.kubectl("delete", "namespace", "-l", LABEL, timeout=300)
