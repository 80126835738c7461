"""The database of the checks: a pod of its own, with users as an administrator would make them."""

import json
import textwrap
from pathlib import Path

from cluster import must

ROLES = Path(__file__).resolve().parents[2] / "k8s/mongodb/roles.js"

ADMIN = "the-administrator-s-secret"
OPERATOR = "the-operator-s-secret"
VIEWER = "the-viewer-s-secret"

# A second database that the operator may write, for a ledger of its own.
OTHER = "stopover_sample"


class Database:
    def __init__(self, cluster, image):
        self.cluster = cluster
        self.image = image

    def start(self):
        self.cluster.apply(
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
        """A replica set of one, its administrator, and two users to whom the roles that the product ships are given: an operator who may write
        `payments`, a viewer who may only find what the ledger holds."""
        self.python(f"""
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
            for user, secret in (("operator", "{OPERATOR}"), ("viewer", "{VIEWER}")):
                try:
                    admin.command("createUser", user, pwd=secret, roles=[])
                except pymongo.errors.OperationFailure as already:
                    if already.code != 51003: raise
        """)
        said = self.cluster.exec(
            "mongodb", "sh", "-c", 'cat >/tmp/roles.js && HOME=/tmp exec env "$@" /tmp/roles.js', "sh",
            "LEDGER=payments", f"DATABASES=payments,{OTHER}", "OPERATOR=operator", "VIEWER=viewer",
            "mongosh", "--quiet", f"mongodb://admin:{ADMIN}@127.0.0.1/admin?directConnection=true", stdin=ROLES.read_text(),
        )  # fmt: skip
        must("user operator has the role" in said and "user viewer has the role" in said, said)

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

    def content(self):
        """A digest of every document that there is."""
        return self.python(f"""
            import hashlib, pymongo
            from bson.codec_options import CodecOptions
            from bson.raw_bson import RawBSONDocument
            client = pymongo.MongoClient("mongodb://admin:{ADMIN}@127.0.0.1/?directConnection=true")
            digest, raw = hashlib.sha256(), CodecOptions(RawBSONDocument)
            for name in sorted(client.payments.list_collection_names()):
                digest.update(name.encode())
                for document in client.payments.get_collection(name, raw).find(sort=[("_id", 1)]):
                    digest.update(document.raw)
            print(digest.hexdigest())
        """)

    def forces(self, uri, collection):
        """What the server says to everything that would change a collection, asked with this connection string and without the product."""
        return json.loads(self.python(f"""
            import json, pymongo
            collection = pymongo.MongoClient("{uri}").get_default_database()["{collection}"]
            said = {{}}
            for name, attempt in {{
                "insert": lambda: collection.insert_one({{"by": "force"}}),
                "update": lambda: collection.update_many({{}}, {{"$set": {{"by": "force"}}}}),
                "delete": lambda: collection.delete_many({{}}),
                "drop": lambda: collection.drop(),
            }}.items():
                try:
                    attempt()
                    said[name] = "done"
                except pymongo.errors.OperationFailure as refused:
                    said[name] = refused.details["codeName"]
            print(json.dumps(said))
        """))

    def uri(self, user, ledger="payments"):
        secret = {"operator": OPERATOR, "viewer": VIEWER}[user]
        return f"mongodb://{user}:{secret}@{self.ip}:27017/{ledger}?replicaSet=pod&authSource=admin"

    def secret(self, name, user, **ledger):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"uri": self.uri(user, **ledger)}}
