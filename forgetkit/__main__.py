"""Run the command line as ``python -m forgetkit``."""

from forgetkit.cli.app import main

if __name__ == "__main__":
    main()
