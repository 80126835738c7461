// The two database roles of Stopover: who operates, and who looks. Run it as who may make roles and users, as often as you like:
//
//   LEDGER=payments DATABASES=payments,orders mongosh "mongodb://admin@db.example/admin" roles.js
//
//   LEDGER        the database that the ledger's connection string names
//   DATABASES     the databases that migrations change; LEDGER unless given
//   OPERATOR      a user to have the first role. One that does not exist is made, and its password asked for
//   VIEWER        a user to have the second
//   OPERATOR_ROLE, VIEWER_ROLE   other names than stopover_operator and stopover_viewer, where several ledgers share a server
//
// A password goes nowhere but to the server: it is typed, here and at mongosh's own prompt for the administrator's. Users that log in without
// one (x.509, a cloud's identities) you make yourself, and name here to give them the role. Where roles are made by a hosting service (Atlas),
// enter there what is listed here.

const ledger = process.env.LEDGER;
if (!ledger) throw new Error("set LEDGER to the name of the ledger's database");
const databases = (process.env.DATABASES || ledger).split(",").map((name) => name.trim());
const on = (db, collection, actions) => ({ resource: { db, collection }, actions });
const admin = db.getSiblingDB("admin");

const operator = {
  // Migrations read and write, and make and drop indexes. One with a command such as collMod needs `dbAdmin` on that database besides.
  roles: databases.map((db) => ({ role: "readWrite", db })),
  privileges: [
    // The ledger. What has happened cannot be removed, unless the ledger's database is one of those above.
    on(ledger, "stopover_passport", ["find", "insert", "update"]),
    on(ledger, "stopover_runs", ["find", "insert", "update", "createIndex"]),
    on(ledger, "stopover_logs", ["find", "insert", "update", "remove", "createIndex"]),
    on(ledger, "stopover_quarantine", ["find", "insert", "update"]),
    // Optional: what a run holds or slows down for when the server is in trouble, and how far a build of indexes is.
    { resource: { cluster: true }, actions: ["serverStatus", "replSetGetStatus", "replSetGetConfig", "inprog"] },
    on("local", "oplog.rs", ["collStats"]),
  ],
};

const viewer = {
  roles: [],
  privileges: ["passport", "runs", "logs", "quarantine"].map((name) => on(ledger, "stopover_" + name, ["find"])),
};

const wanted = [
  [process.env.OPERATOR_ROLE || "stopover_operator", operator, process.env.OPERATOR],
  [process.env.VIEWER_ROLE || "stopover_viewer", viewer, process.env.VIEWER],
];
for (const [role, rights, user] of wanted) {
  if (admin.getRole(role)) admin.updateRole(role, rights);
  else admin.createRole({ role, ...rights });
  print("role " + role + " is as it should be");
  if (!user) continue;
  if (admin.getUser(user)) {
    admin.grantRolesToUser(user, [role]);
  } else {
    print("the password of the new user " + user + ":");
    admin.createUser({ user, pwd: passwordPrompt(), roles: [role] });
  }
  print("user " + user + " has the roles " + admin.getUser(user).roles.map((held) => held.role).join(", "));
}
