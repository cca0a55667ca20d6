"""`python -m nextclick`."""

from nextclick.cli.main import main

if __name__ == "__main__":
    main()
