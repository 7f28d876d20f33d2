"""`python -m m2a` is `m2a`."""

from m2a.cli import main

if __name__ == "__main__":  # processes that are spawned import this file too
    main()
