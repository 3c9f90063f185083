"""gensim's side of the benchmark: text file -> saved vectors, and one line of JSON at the end.

Run by a Python that has gensim; it imports nothing of this project.
"""

import argparse
import json
import time

from gensim.models import Word2Vec  # pyrefly: ignore[missing-import]
from gensim.models.word2vec import LineSentence  # pyrefly: ignore[missing-import]


def main() -> None:
    """The command line: no defaults, the benchmark gives every value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["iterator", "file"], required=True)
    for name in ("text", "vectors"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("epochs", "seed", "workers", "dim", "window", "negatives", "min-count"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("subsample", "learning-rate", "last-rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    args = parser.parse_args()

    model = Word2Vec(
        sg=1,
        hs=0,
        vector_size=args.dim,
        window=args.window,
        negative=args.negatives,
        sample=args.subsample,
        min_count=args.min_count,
        alpha=args.learning_rate,
        min_alpha=args.last_rate,
        workers=args.workers,
        seed=args.seed,
    )
    if args.mode == "file":
        source = {"corpus_file": args.text}
    else:
        source = {"corpus_iterable": LineSentence(args.text)}
    start = time.perf_counter()
    model.build_vocab(**source)
    trained = time.perf_counter()
    effective, raw = model.train(
        **source,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=args.epochs,
    )
    end = time.perf_counter()
    model.wv.save_word2vec_format(args.vectors, binary=True)
    seconds = {"encode_seconds": trained - start, "train_seconds": end - trained}
    print(json.dumps({"raw_words": raw, "effective_words": effective, **seconds}))


if __name__ == "__main__":
    main()
