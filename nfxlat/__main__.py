"""`python3 -m nfxlat` is `nfxlat`."""

import sys

from nfxlat.cli import main

if __name__ == "__main__":
    sys.exit(main())
