// Gives every old refund a reason, in batches: application code on a real MongoDB.
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

const DATABASE = "stopover_sample";
const BATCH = 100;
const REFUNDS = 5000;

let stopping = false;
process.on("SIGTERM", () => {
  stopping = true;
});

function say(progress) {
  console.log(`::stopover ${JSON.stringify(progress)}`);
}

function driver() {
  try {
    return require("mongodb");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    console.error(`the npm package \`mongodb\` is not installed: run \`npm install\` in ${__dirname}`);
    process.exit(1);
  }
}

async function seed(refunds) {
  if (await refunds.findOne()) return;
  const all = Array.from({ length: REFUNDS }, (_, n) => ({ _id: n + 1, charge: n * 3, amount: 100 + ((n * 37) % 9000) }));
  // Somebody else may be seeding the same documents now: those are then there already.
  await refunds.insertMany(all, { ordered: false }).catch((error) => {
    if (error.code !== 11000) throw error;
  });
}

async function main() {
  const uri = process.env.MONGODB_URI;
  if (!uri) {
    console.error("there is no MongoDB: set MONGODB_URI to its connection string");
    process.exit(1);
  }
  const { MongoClient } = driver();
  const client = await new MongoClient(uri).connect();
  try {
    const refunds = client.db(DATABASE).collection("refunds");
    await seed(refunds);
    const pace = Number(process.env.STOPOVER_PARAM_PACE || 500);
    const rerun = process.env.STOPOVER_RERUN === "true";
    const unfinished = rerun ? {} : { reason: { $exists: false } };
    const checkpoint = JSON.parse(process.env.STOPOVER_CHECKPOINT || "{}");
    let { last = 0, done = 0 } = checkpoint;
    const total = checkpoint.total ?? (await refunds.countDocuments(unfinished));
    for (;;) {
      if (stopping) {
        process.exitCode = 75;
        return;
      }
      const batch = await refunds.find({ ...unfinished, _id: { $gt: last } }).sort({ _id: 1 }).limit(BATCH).toArray();
      if (batch.length === 0) break;
      await refunds.bulkWrite(
        batch.map(({ _id, amount }) => ({
          updateOne: { filter: { _id }, update: { $set: { reason: amount > 5000 ? "fraud" : "requested" } } },
        })),
      );
      last = batch[batch.length - 1]._id;
      done += batch.length;
      say({ done, total, checkpoint: { last, done, total } });
      await sleep((batch.length / pace) * 1000);
    }
    console.log(`all ${done} refunds have a reason`);
  } finally {
    await client.close();
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
