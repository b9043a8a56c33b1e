"""``python -m cadenza``: the command line."""

from cadenza.app.cli.main import main

if __name__ == "__main__":
    main()
