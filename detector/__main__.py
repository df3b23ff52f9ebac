"""`python -m detector` is the console script."""

from detector.cli import main

if __name__ == "__main__":
    main()
