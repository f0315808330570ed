"""See command.py."""

import sys

from nfxlat.lab.matrix.command import main

if __name__ == "__main__":
    sys.exit(main())
