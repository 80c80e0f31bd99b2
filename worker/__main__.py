"""`python -m worker` is the command `overture`."""

from config.streams import protect
from worker.cli import main

if __name__ == "__main__":
    protect()
    main()
