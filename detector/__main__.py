"""`python -m detector` runs the same command as `detector`."""

from detector.cli import main

if __name__ == "__main__":
    main()
