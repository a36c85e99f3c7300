"""The servers that the environment gives to the tests, taken out of it, so that no program under test finds
them by accident.
"""

import os

GIVEN = {name: os.environ.pop(name, None) for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")}
"""Address of each, or None."""
