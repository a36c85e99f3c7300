"""Where real usage histories are, if anywhere: the folder USAGE_TRIGGERS_DATA, or ../shared/data."""

import os
from pathlib import Path

DATA = Path(os.environ.get("USAGE_TRIGGERS_DATA", Path(__file__).parents[1] / "../shared/data"))
