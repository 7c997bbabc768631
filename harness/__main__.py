"""`python -m harness`: what `./testbed` starts once its environment is there."""

import sys

from harness.cli import main

sys.exit(main())
