"""Starts the simulator: `python -m simulator --port 8070`."""

from simulator.cli import main

if __name__ == "__main__":
    main()
