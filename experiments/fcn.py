"""``python -m experiments.fcn``: see `jaxdl.fcn.command`."""

from jaxdl.fcn.command import command

if __name__ == "__main__":
    command()
