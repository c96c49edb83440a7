"""Run the command line program with `python -m retailpipe`."""

from retailpipe.cli import main

if __name__ == "__main__":
    main()
