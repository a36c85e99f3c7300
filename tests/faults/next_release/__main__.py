"""The command line of the next release: `python -m tests.faults.next_release migrate`."""

from services.cli import main
from tests.faults.next_release import become

become()
main()
