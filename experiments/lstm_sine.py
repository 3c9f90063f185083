"""``python -m experiments.lstm_sine``: see `jaxdl.lstm.command`."""

from jaxdl.lstm.command import command

if __name__ == "__main__":
    command()
