"""The database of the checks: a pod of its own, with users as an administrator would make them."""

import json
import textwrap

from cluster import Cluster, eventually

ADMIN = "the-administrator-s-secret"
OPERATOR = "the-operator-s-secret"
VIEWER = "the-viewer-s-secret"


class Database:
    def __init__(self, image):
        self.cluster = Cluster("stopover-database")
        self.image = image

    def start(self):
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.cluster.namespace}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "mongodb", "namespace": self.cluster.namespace, "labels": {"app": "mongodb"}},
                "spec": {
                    "securityContext": {"fsGroup": 65532, "runAsUser": 65532},
                    "containers": [{
                        "name": "mongodb",
                        "image": self.image,
                        "imagePullPolicy": "IfNotPresent",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        )
        self.cluster.pod("app=mongodb")
        self.ip = json.loads(self.cluster.kubectl("get", "pod", "mongodb", "-o", "json"))["status"]["podIP"]
        self.initiate()

    def initiate(self):
        """A replica set of one, its administrator, an operator who may write `payments`, a viewer who may only find what the ledger holds."""
        find = [
            {"resource": {"db": "payments", "collection": collection}, "actions": ["find"]}
            for collection in ("stopover_runs", "stopover_logs", "stopover_quarantine", "stopover_passport")
        ]
        script = f"""
            import pymongo, time
            client = pymongo.MongoClient("mongodb://127.0.0.1/?directConnection=true", serverSelectionTimeoutMS=30000)
            try:
                client.admin.command("replSetInitiate", {{"_id": "pod", "members": [{{"_id": 0, "host": "{self.ip}:27017"}}]}})
            except pymongo.errors.OperationFailure as already:
                if already.code not in (13, 23): raise
            deadline = time.monotonic() + 30
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            try:
                client.admin.command("createUser", "admin", pwd="{ADMIN}", roles=["root"])
            except pymongo.errors.OperationFailure as already:
                if already.code != 13: raise
            admin = pymongo.MongoClient("mongodb://admin:{ADMIN}@127.0.0.1/?directConnection=true").admin
            for command in [
                lambda: admin.command("createUser", "operator", pwd="{OPERATOR}", roles=[{{"role": "readWrite", "db": "payments"}}, {{"role": "readWrite", "db": "stopover_sample"}}]),
                lambda: admin.command("createRole", "stopoverViewer", privileges={json.dumps(find)}, roles=[]),
                lambda: admin.command("createUser", "viewer", pwd="{VIEWER}", roles=["stopoverViewer"]),
            ]:
                try:
                    command()
                except pymongo.errors.OperationFailure as already:
                    if already.code not in (51002, 51003): raise
        """
        self.python(script)

    def python(self, script):
        return self.cluster.exec("mongodb", "python3", "-", stdin=textwrap.dedent(script))

    def ask(self, expression):
        """The value of an expression over `payments`, the database."""
        return json.loads(self.python(f"""
            import json, pymongo
            client = pymongo.MongoClient("mongodb://admin:{ADMIN}@127.0.0.1/?directConnection=true")
            payments = client.payments
            print(json.dumps({expression}))
        """))

    def uri(self, user):
        secret = {"operator": OPERATOR, "viewer": VIEWER}[user]
        return f"mongodb://{user}:{secret}@{self.ip}:27017/payments?replicaSet=pod&authSource=admin"

    def secret(self, name, user):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"uri": self.uri(user)}}

    def settles(self):
        eventually("the database answers", lambda: self.ask("True"))
