"""``python -m experiments.demo``: see `jaxdl.demo`."""

from jaxdl.demo import command

if __name__ == "__main__":
    command()
