"""`python -m edge.deploy`, which deploy.sh calls."""

import sys

from edge.deploy.main import main

sys.exit(main(sys.argv[1:]))
