// Drops the sessions that expired before the move to tokens.
"use strict";

const seed = () => Array.from({ length: 500 }, (_, n) => ({ id: n + 1, expired: n % 4 !== 0 }));

module.exports = async ({ collection, log }) => {
  const sessions = collection("sessions", seed);
  const items = sessions.load();
  const kept = items.filter((session) => !session.expired);
  sessions.save(kept);
  log(`dropped ${items.length - kept.length} sessions, kept ${kept.length}`);
};
