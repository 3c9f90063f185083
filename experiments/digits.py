"""``python -m experiments.digits``: see `jaxdl.digits.command`."""

from jaxdl.digits.command import command

if __name__ == "__main__":
    command()
