"""The role `dashboard` with an hour's updates in minutes.

    python -m tests.e2e.dashboard.fast_dashboard --server HOST:PORT dashboard --listen HOST:PORT

It asks for everything again, and draws it, many times as often as it does by itself.
"""

import sys

from tidegate_server.cli import app
from tidegate_server.dashboard import environment
from tidegate_server.dashboard.pages import page

FASTER = 20

environment.FAST_SECONDS /= FASTER
environment.SLOW_SECONDS /= FASTER
page.DRAW_SECONDS /= FASTER

if __name__ == "__main__":
    sys.exit(app.run(sys.argv[1:]))
