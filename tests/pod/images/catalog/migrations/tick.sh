#!/bin/sh
# Says a number every half second, up to 600; stops at its checkpoint.
set -eu
stopping=
trap 'stopping=yes' TERM
number=${STOPOVER_CHECKPOINT:-0}
while [ "$number" -lt 600 ]; do
    [ -z "$stopping" ] || exit 75
    number=$((number + 1))
    echo "tick $number of attempt $STOPOVER_ATTEMPT"
    echo "::stopover {\"done\":$number,\"total\":600,\"checkpoint\":$number}"
    sleep 0.5 || :
done
