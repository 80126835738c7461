#!/bin/sh
# Takes all memory that there is.
echo "hungry"
awk 'BEGIN { s = "0123456789abcdef"; while (1) s = s s }'
