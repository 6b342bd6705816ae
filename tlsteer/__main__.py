"""`python -m tlsteer` is the command line."""

from tlsteer.cli import main

if __name__ == "__main__":
    main()
