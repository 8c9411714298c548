"""``python -m teleclass``: the console script."""

import sys

from teleclass.cli import main

if __name__ == "__main__":
    sys.exit(main())
