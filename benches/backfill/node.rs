//! The peers: what is written by hand today, in Node with the official driver, and the application code of a transform.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::whole_process;

/// A find and an update for each document.
const LOOP: &str = r"
for await (const payment of payments.find({ amountInCents: { $exists: false } }))
  await payments.updateOne({ _id: payment._id }, { $set: { amountInCents: Math.round(payment.amount * 100) } });
";

/// Only what is needed is read, and a thousand updates travel together.
const BULK: &str = r"
let updates = [];
const flush = async () => { if (updates.length) await payments.bulkWrite(updates, { ordered: false }); updates = []; };
for await (const payment of payments.find({ amountInCents: { $exists: false } }).project({ amount: 1 })) {
  updates.push({ updateOne: { filter: { _id: payment._id }, update: { $set: { amountInCents: Math.round(payment.amount * 100) } } } });
  if (updates.length === 1000) await flush();
}
await flush();
";

/// As [`BULK`], of values that are computed from the whole document.
const COMPUTE: &str = r"
let updates = [];
const flush = async () => { if (updates.length) await payments.bulkWrite(updates, { ordered: false }); updates = []; };
for await (const payment of payments.find({ amountInCents: { $exists: false } })) {
  updates.push({ updateOne: { filter: { _id: payment._id }, update: { $set: compute(payment) } } });
  if (updates.length === 1000) await flush();
}
await flush();
";

/// The application's own computation, the same for both.
const APPLICATION: &str = r"
module.exports = (payment) => ({
  amountInCents: Math.round(payment.amount * 100),
  itemsInCents: payment.items.reduce((sum, item) => sum + Math.round(item.price * 100) * item.quantity, 0),
  domain: payment.customer.email.split('@')[1],
});
";

/// The child of a transform, as the documentation shows it.
const TRANSFORM: &str = r"
const compute = require('./application');
const lines = require('node:readline').createInterface({ input: process.stdin });
console.log = console.error;
lines.on('line', (line) => {
  const { n, document } = JSON.parse(line);
  process.stdout.write(JSON.stringify({ n, update: { $set: compute(document) } }) + '\n');
});
";

/// A program of a peer.
#[derive(Clone, Copy)]
pub enum Peer {
    Loop,
    Bulk,
    Compute,
}

impl Peer {
    /// Seconds and MiB of a run over everything that is left.
    pub fn run(self, uri: &str) -> (f64, f64) {
        let name = match self {
            Self::Loop => "loop",
            Self::Bulk => "bulk",
            Self::Compute => "compute",
        };
        let (millis, peak) = whole_process(Command::new("node").arg(folder().join(format!("{name}.js"))).arg(uri));
        (millis / 1_000.0, peak)
    }
}

/// The folder of the programs.
pub fn folder() -> PathBuf {
    std::env::current_dir().expect("the checkout").join(".dev/bench")
}

/// Fetches the driver on the first run, and writes the programs.
pub fn install() {
    let folder = folder();
    fs::create_dir_all(&folder).expect("a folder");
    if !folder.join("node_modules/mongodb").is_dir() {
        fs::write(folder.join("package.json"), "{ \"private\": true }\n").expect("a package");
        let npm = ["install", "--no-audit", "--no-fund", "--silent", "migrate-mongo@14", "mongodb@6"];
        let status = Command::new("npm").args(npm).current_dir(&folder).status().expect("npm is on the machine");
        assert!(status.success(), "npm could not install the driver");
    }
    for (name, body) in [("loop", LOOP), ("bulk", BULK), ("compute", COMPUTE)] {
        let program = format!(
            "const {{ MongoClient }} = require('mongodb');\nconst compute = require('./application');\n(async () => {{\nconst client = await MongoClient.connect(process.argv[2]);\nconst payments = client.db().collection('payments');{body}await client.close();\n}})();\n"
        );
        fs::write(folder.join(format!("{name}.js")), program).expect("a program");
    }
    write_transform(&folder);
}

/// Writes the child of a transform into a folder.
pub fn write_transform(folder: &Path) {
    fs::write(folder.join("application.js"), APPLICATION).expect("a program");
    fs::write(folder.join("transform.js"), TRANSFORM).expect("a program");
}
