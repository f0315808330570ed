"""Which modules the command line loads for a command, or for none: prints their names.

python loaded_modules.py [COMMAND]
"""

import sys

from nfxlat.cli import parser

if __name__ == "__main__":
    parser(*sys.argv[1:])
    print(*sys.modules)
