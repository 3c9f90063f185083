"""Japanese text becomes words: SudachiPy's own, whatever the blocks in which it is read."""

from pathlib import Path

import numpy as np
import pytest
import sudachipy

from jaxdl.word2vec.data.corpus import encode

LINES = (
    "吾輩は猫である。名前はまだ無い。",
    "エディターでファイルを開く。",
    "",
    "2016年にChainerで書いた。東京都に住む。",
)


@pytest.mark.parametrize("block_bytes", [16, 1 << 20])
def test_words_are_sudachis_without_signs_and_numbers(tmp_path: Path, block_bytes: int):
    (tmp_path / "text").write_text("\n".join(LINES * 3) + "\n")
    found = encode([tmp_path / "text"], tmp_path, tokens="ja", min_count=1, block_bytes=block_bytes)
    tokenizer = sudachipy.Dictionary().tokenizer(mode=sudachipy.SplitMode.C)
    want = [
        [m.surface().lower() for m in tokenizer.tokenize(line) if m.surface().isalpha()]
        for line in LINES * 3
        if line
    ]
    sentences = np.split(np.asarray(found.ids), np.asarray(found.sentences)[1:-1])
    assert [[found.words[i] for i in ids] for ids in sentences] == want
    assert {"猫", "東京都", "chainer", "ファイル"} <= set(found.words)
    assert not {"。", "2016"} & set(found.words)
