// Stores the amounts of invoices in cents.
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

const seed = () => Array.from({ length: 40 }, (_, n) => ({ id: n + 1, amount: 10.5 + n }));

module.exports = async ({ collection, log }) => {
  const invoices = collection("invoices", seed);
  const items = invoices.load();
  for (const invoice of items.filter((item) => item.cents === undefined)) {
    invoice.cents = Math.round(invoice.amount * 100);
    invoices.save(items);
    log(`invoice ${invoice.id}: ${invoice.cents} cents`);
    await sleep(1000 / Number(process.env.STOPOVER_PARAM_PACE || 10));
  }
};
