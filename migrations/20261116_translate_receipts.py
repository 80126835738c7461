#!/usr/bin/env python3
"""Translates the receipts of 400 merchants. Prints in colour and in many scripts, as such programs do."""
from lib.backfill import Run

RECEIPTS = [
    ("pt", "Recibo: pagamento confirmado, obrigado!"),
    ("ja", "領収書: お支払いを確認しました"),
    ("zh", "收据: 付款已确认"),
    ("ko", "영수증: 결제가 확인되었습니다"),
    ("ar", "إيصال: تم تأكيد الدفع"),
    ("hi", "रसीद: भुगतान की पुष्टि हुई"),
    ("el", "Απόδειξη: η πληρωμή επιβεβαιώθηκε"),
    ("emoji", "🧾 ✅ 👩‍💻 🇧🇷 e\u0301 ﷽"),
]
TOTAL = 400

run = Run(pace=20)
start = run.checkpoint.get("merchant", 0)
for merchant in range(start + 1, TOTAL + 1):
    run.leave_if_asked()
    language, receipt = RECEIPTS[merchant % len(RECEIPTS)]
    colour = 31 + merchant % 6
    print("\x1b[1mmerchant %3d\x1b[0m\t\x1b[%dm%-5s\x1b[0m %s" % (merchant, colour, language, receipt), flush=True)
    if merchant % 50 == 0:
        # Overwrites its own line, as progress bars do.
        for percent in range(0, 101, 20):
            print("\ruploading %3d %%" % percent, end="", flush=True)
        print("\r\x1b[32muploaded\x1b[0m       ", flush=True)
    run.tell(done=merchant, total=TOTAL, message="merchant %d (%s)" % (merchant, language), checkpoint={"merchant": merchant})
    run.rest(1)
