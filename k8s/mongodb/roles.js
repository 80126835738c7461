// The two database roles of Stopover: who operates, and who looks. Run it as who may make roles and users, as often as you like:
//
//   LEDGER=payments DATABASES=payments,orders mongosh "mongodb://admin@db.example/admin" roles.js
//
//   LEDGER        the database that the ledger's connection string names
//   DATABASES     the databases that migrations change; LEDGER unless given
//   OPERATOR      a user to have the first role. One that does not exist is made, and its password asked for
//   VIEWER        a user to have the second
//   OPERATOR_ROLE, VIEWER_ROLE   other names than stopover_operator and stopover_viewer. Where several ledgers share a server, each needs
//                 roles of its own: a role that is another ledger's is refused, and nothing is changed
//
// A password goes nowhere but to the server: it is typed, here and at mongosh's own prompt for the administrator's. Users that log in without
// one (x.509, LDAP, a cloud's identities) you make yourself, in $external, and name here to give them the role; they are looked for there first.
// Where roles are made by a hosting service (Atlas), enter there what is listed here.

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
  { role: process.env.OPERATOR_ROLE || "stopover_operator", variable: "OPERATOR_ROLE", rights: operator, user: process.env.OPERATOR },
  { role: process.env.VIEWER_ROLE || "stopover_viewer", variable: "VIEWER_ROLE", rights: viewer, user: process.env.VIEWER },
];
const external = db.getSiblingDB("$external");
const homeOf = (user) => [external, admin].find((home) => home.getUser(user));
const isOfLedger = (name) => ["stopover_passport", "stopover_runs", "stopover_logs", "stopover_quarantine"].includes(name);

// What is refused is refused before anything is changed.
for (const { role, variable, user } of wanted) {
  // An update replaces every right: it would take the other ledger away from whoever works there, perhaps in the midst of a run.
  const held = admin.getRole(role, { showPrivileges: true });
  const other = ((held && held.privileges) || [])
    .map(({ resource }) => resource)
    .find((resource) => isOfLedger(resource.collection) && resource.db !== ledger);
  if (other) {
    throw new Error(
      "role " + role + " is that of the ledger " + other.db + ": set " + variable + " to another name for the ledger " + ledger +
        ", or, if nobody uses " + other.db + " as a ledger any more, drop the role first",
    );
  }
  // No name of a user with a password looks so, and one made by mistake would be a second way in.
  if (user && /[=:\/]/.test(user) && !homeOf(user)) {
    throw new Error("user " + user + " logs in without a password, and is not in $external: make it there first");
  }
}

for (const { role, rights, user } of wanted) {
  if (admin.getRole(role)) admin.updateRole(role, rights);
  else admin.createRole({ role, ...rights });
  print("role " + role + " is as it should be");
  if (!user) continue;
  const home = homeOf(user);
  if (home) {
    home.grantRolesToUser(user, [{ role, db: "admin" }]);
  } else {
    print("the password of the new user " + user + ":");
    admin.createUser({ user, pwd: passwordPrompt(), roles: [role] });
  }
  print("user " + user + " has the roles " + (home || admin).getUser(user).roles.map((held) => held.role).join(", "));
}
