// The runner that a team wrote years before Stopover, called as `node legacy/migration.js NAME RERUN`. Nothing here knows of
// Stopover; stopover.yaml adopts the migrations beside it by this very command.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const [name, rerun] = process.argv.slice(2);
if (!name) {
  console.error("usage: node legacy/migration.js NAME [RERUN]");
  process.exit(2);
}

const folder = process.env.STOPOVER_SAMPLE_DIR || path.join(process.env.TMPDIR || "/tmp", "stopover-sample");
fs.mkdirSync(folder, { recursive: true });

// A collection is a file of JSON, replaced as a whole, so that a crash leaves the old one or the new one.
function collection(file, seed) {
  const at = path.join(folder, `${file}.json`);
  const save = (items) => {
    const partial = `${at}.${process.pid}`;
    fs.writeFileSync(partial, JSON.stringify(items));
    fs.renameSync(partial, at);
  };
  const load = () => (fs.existsSync(at) ? JSON.parse(fs.readFileSync(at, "utf8")) : seed());
  return { load, save };
}

const migration = require(path.join(__dirname, `${name}.js`));
console.log(`${os.hostname()} starts ${name}${rerun === "true" ? " again" : ""}`);
Promise.resolve(migration({ collection, rerun: rerun === "true", log: console.log }))
  .then(() => console.log(`${name} is through`))
  .catch((error) => {
    console.error(error.stack);
    process.exitCode = 1;
  });
