"""What the checks share: images, the clusters' corners, the product, its database."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster import KUBECTL, Cluster, Stopover, must
from database import Database

ROOT = Path(__file__).resolve().parents[2]


def image(variable):
    name = os.environ.get(variable)
    must(name, f"{variable} is not set: run scripts/e2e-pod, which builds and names the images")
    return name


class World:
    def __init__(self):
        self.first = image("FIRST_IMAGE")
        self.second = image("SECOND_IMAGE")
        self.existing = image("EXISTING_IMAGE")
        self.staging = Cluster("stopover-staging")
        self.watched = Cluster("stopover-monitor")
        self.teams = Cluster("stopover-team")
        self.stopover = Stopover(self.staging)
        self.monitor = Stopover(self.watched, "stopover-monitor")
        self.database = Database(image("DATABASE_IMAGE"))

    def deploy(self, overlay, cluster, *more, image=None):
        """Applies an overlay with the image of these checks, as a user does who edits their copy."""
        self.namespace(cluster)
        if more:
            cluster.apply(*more)
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "k8s"
            shutil.copytree(ROOT / "k8s", copy)
            kustomization = copy / "overlays" / overlay / "kustomization.yaml"
            name, tag = (image or self.first).rsplit(":", 1)
            text, found = re.subn(r"newName: \S+, newTag: [^ ]+", f"newName: {name}, newTag: {tag}", kustomization.read_text())
            must(found == 1, f"{kustomization} names no image")
            kustomization.write_text(text)
            cluster.kubectl("apply", "-k", str(kustomization.parent))

    def namespace(self, cluster):
        subprocess.run([*KUBECTL, "create", "namespace", cluster.namespace], capture_output=True, check=False)

    def forget(self):
        """Deletes every namespace of the checks."""
        names = [self.staging.namespace, self.watched.namespace, self.teams.namespace, self.database.cluster.namespace]
        subprocess.run([*KUBECTL, "delete", "namespace", "--ignore-not-found", *names], capture_output=True, check=False, timeout=300)
