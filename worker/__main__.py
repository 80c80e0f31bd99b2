"""`python -m worker` is the command `overture`."""

from worker.cli import main

if __name__ == "__main__":
    main()
