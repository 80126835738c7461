#!/bin/sh
# Compresses last month's settlement files. Quick, and needs nothing but a shell: the files themselves say how far it is.
set -eu

folder="${STOPOVER_SAMPLE_DIR:-${TMPDIR:-/tmp}/stopover-sample}/settlements"
total=30

stopping=
trap 'stopping=yes' TERM

# The samples bring their own data: one file a day, archived or not.
mkdir -p "$folder"
day=1
while [ "$day" -le "$total" ]; do
    name=$(printf '%s/2026-09-%02d.csv' "$folder" "$day")
    [ -e "$name" ] || [ -e "$name.gz" ] || printf 'charge,amount\n%d,%d\n' "$day" "$((day * 1999))" >"$name"
    day=$((day + 1))
done

archived=0
for file in "$folder"/*.csv "$folder"/*.csv.gz; do
    [ -e "$file" ] || continue
    if [ -n "$stopping" ]; then
        echo "asked to stop after $archived files"
        exit 75
    fi
    case $file in
    *.csv)
        gzip -n -f "$file"
        echo "archived ${file##*/}"
        sleep "${STOPOVER_PARAM_PAUSE:-0.1}" || :
        ;;
    esac
    archived=$((archived + 1))
    echo "::stopover {\"done\":$archived,\"total\":$total}"
done
echo "all $total settlement files are archived"
