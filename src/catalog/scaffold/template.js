#!/usr/bin/env node
// Say here what this migration does, and why.
//
// A good migration can be run again without harm, goes on where it stopped, and shows how far it is.
// This one counts to ten; replace what is marked below.
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

// Pause, cancel and the end of the pod send SIGTERM: finish the item at hand, then leave with status 75.
let stopping = false;
process.on("SIGTERM", () => {
  stopping = true;
});

function say(progress) {
  console.log(`::stopover ${JSON.stringify(progress)}`);
}

async function main() {
  // Where an earlier attempt stopped: the checkpoint it printed, or nothing.
  const checkpoint = JSON.parse(process.env.STOPOVER_CHECKPOINT || "{}");
  const total = 10;
  for (let count = (checkpoint.count || 0) + 1; count <= total; count += 1) {
    if (stopping) {
      process.exitCode = 75;
      return;
    }

    // Replace this by the work on one batch of items.
    await sleep(1000);

    console.log(`item ${count} is done`);
    say({ done: count, total, checkpoint: { count } });
  }
}

main();
