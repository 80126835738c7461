#!/bin/sh
# Says 400,000 lines, about 40 MB, as fast as it can.
exec awk 'BEGIN { for (n = 1; n <= 400000; n++) printf "line %06d of a program that talks too much, %060d\n", n, n * 7919 }'
