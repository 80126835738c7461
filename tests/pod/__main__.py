"""Drives Stopover in a real cluster through the real kubectl. Called by scripts/e2e-pod; words select checks by their names."""

import sys

import check_launching  # noqa: F401
import check_terminals  # noqa: F401
import check_lifecycle  # noqa: F401
import check_monitor  # noqa: F401
import check_plugin  # noqa: F401
import check_observability  # noqa: F401
import check_figures  # noqa: F401
import runner
import terminal
from cluster import Failed
from world import World

try:
    world = World()
except Failed as failed:
    sys.exit(f"e2e-pod: {failed}")
wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
try:
    failed = runner.run(world, wanted)
finally:
    terminal.close_all()
    if "--keep" not in sys.argv:
        world.forget()
print(f"{failed} failed" if failed else "everything held")
sys.exit(1 if failed else 0)
