#!/bin/sh
# Replays 30,000 webhooks and says a line about each: a program that talks too much.
set -eu

total=30000
burst=500
replayed=$(printf '%s' "${STOPOVER_CHECKPOINT:-}" | sed -n 's/.*"replayed": *\([0-9]*\).*/\1/p')
replayed=${replayed:-0}

stopping=
trap 'stopping=yes' TERM

while [ "$replayed" -lt "$total" ]; do
    if [ -n "$stopping" ]; then
        echo "asked to stop after $replayed webhooks"
        exit 75
    fi
    awk -v from="$replayed" -v burst="$burst" 'BEGIN {
        for (n = from + 1; n <= from + burst; n++)
            printf "webhook evt_%06d to https://merchant-%03d.example/hooks answered %d in %d ms\n", n, n % 500, n % 97 ? 200 : 503, n * 31 % 900
    }'
    replayed=$((replayed + burst))
    echo "::stopover {\"done\":$replayed,\"total\":$total,\"checkpoint\":{\"replayed\":$replayed}}"
    sleep "${STOPOVER_PARAM_PAUSE:-0.4}" || :
done
