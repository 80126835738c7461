#!/bin/sh
# Says 200 lines a second, until it is told to stop.
number=0
while :; do
    awk -v first="$number" 'BEGIN { for (n = first + 1; n <= first + 20; n++) printf "chatter %07d of a program that does not stop %030d\n", n, n * 7919 }'
    number=$((number + 20))
    sleep 0.1
done
