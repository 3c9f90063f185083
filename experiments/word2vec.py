"""``python -m experiments.word2vec``: see `jaxdl.word2vec.command`."""

from jaxdl.word2vec.command import command

if __name__ == "__main__":
    command()
