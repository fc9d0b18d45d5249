"""`python -m ropewalk.cli` is the command `ropewalk`, where that is not on the PATH."""

import sys

from ropewalk.cli import main

if __name__ == "__main__":
    sys.exit(main())
