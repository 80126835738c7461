#!/bin/sh
# Ends at once. Says something that a terminal must measure well.
echo "Zahlungsempfänger 支払い 💸 é done"
