#!/bin/sh
# Say here what this migration does, and why.
#
# A good migration can be run again without harm, goes on where it stopped, and shows how far it is.
# This one counts to ten; replace what is marked below.
set -eu

total=10
# Where an earlier attempt stopped: the checkpoint it printed, or nothing.
count=$(printf '%s' "${STOPOVER_CHECKPOINT:-}" | sed -n 's/.*"count": *\([0-9]*\).*/\1/p')
count=${count:-0}

# Pause, cancel and the end of the pod send SIGTERM: finish the item at hand, then leave with status 75.
stopping=
trap 'stopping=yes' TERM

while [ "$count" -lt "$total" ]; do
    if [ -n "$stopping" ]; then
        exit 75
    fi

    # Replace this by the work on one batch of items.
    sleep 1 || :

    count=$((count + 1))
    echo "item $count is done"
    echo "::stopover {\"done\":$count,\"total\":$total,\"checkpoint\":{\"count\":$count}}"
done
