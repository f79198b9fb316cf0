"""`python -m heroserve` is the command `heroserve`, wherever scripts are not on PATH."""

from heroserve.cli import app

if __name__ == "__main__":
    app(prog_name="python -m heroserve")
