"""A part of the demo's text, and vectors trained on it in memory."""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from experiments.findings.finding import Setting
from jaxdl.files.atomic import write_bytes
from jaxdl.word2vec.config import PRESETS, Config
from jaxdl.word2vec.data.corpus import Corpus
from jaxdl.word2vec.data.docstrings import write_docstrings
from jaxdl.word2vec.dataset import open_corpus, vocabulary_of
from jaxdl.word2vec.fit import fit, tables_for
from jaxdl.word2vec.model import Tables


def part_of_text(setting: Setting, every: int) -> Path:
    """Each so many-th line of the embedded text."""
    with setting.bar.task("embedded text") as progress:
        whole = write_docstrings(setting.data_dir / "docstrings.txt", progress)
    lines = whole.read_bytes().splitlines(keepends=True)[::every]
    path, text = setting.data_dir / f"docstrings-each-{every}.txt", b"".join(lines)
    if not path.is_file() or path.read_bytes() != text:
        write_bytes(path, text)
    return path


def config_of(setting: Setting, every: int, **given: Any) -> tuple[Config, Corpus]:
    """The demo's config on that part of its text, with other values; and the text."""
    where = {"data": (part_of_text(setting, every),), "data_dir": setting.data_dir}
    cfg = dataclasses.replace(PRESETS["demo"], logs_per_epoch=1, **where, **given)
    return cfg, open_corpus(cfg, setting.bar)


def train(cfg: Config, corpus: Corpus) -> Tables:
    """Both tables after the last epoch."""
    vocabulary = vocabulary_of(corpus)
    kept = []

    def end_epoch(loss: float, tables: tuple[Any, Any], last: bool) -> None:
        kept[:] = tables

    fit(cfg, corpus, vocabulary, tables_for(cfg, vocabulary, None), end_epoch)
    return Tables(*map(jnp.asarray, kept))
