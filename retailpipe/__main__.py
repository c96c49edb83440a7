"""`python -m retailpipe` is the program `retailpipe`."""

from retailpipe.cli import main

if __name__ == "__main__":
    main()
