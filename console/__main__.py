"""`python -m console` is the command `overture`."""

from config.streams import protect
from console import main

if __name__ == "__main__":
    protect()
    main()
