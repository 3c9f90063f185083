#!/bin/sh
# tests/smoke.sh PYTHON: the wheel alone, in a clean environment elsewhere, trains, predicts and
# answers. PYTHON (the project's environment) makes the wheel; nothing of the checkout is used after.
set -eu
python=$(realpath -s "$1")
cd "$(dirname "$0")/.."
folder=$(mktemp -d "${TMPDIR:-/tmp}/jaxdl-smoke-XXXXXX")
trap 'rm -rf "$folder"' EXIT
rm -rf build/lib  # what is in it would be packed
"$python" -m pip --disable-pip-version-check wheel -q --no-deps -w "$folder" .
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --disable-pip-version-check install -q -c constraints.txt \
  "$folder"/jaxdl_functional-*.whl
rm -rf build/lib
cd "$folder"
unset PYTHONPATH
export JAX_COMPILATION_CACHE_DIR="$folder/compiled" JAX_PLATFORMS=cpu
jaxdl="$folder/venv/bin/jaxdl"

"$folder/venv/bin/python" - <<'END'
import pathlib, random, sys
import jaxdl
here = pathlib.Path.cwd()
assert pathlib.Path(jaxdl.__file__).is_relative_to(here / "venv"), jaxdl.__file__
assert (pathlib.Path(jaxdl.__file__).parent / "py.typed").is_file()
from PIL import Image
voc = here / "photos"
for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
    (voc / name).mkdir(parents=True)
for n in range(4):
    Image.new("RGB", (40, 30), (60 * n, 90, 200)).save(voc / f"JPEGImages/{n}.jpg")
    label = Image.new("P", (40, 30), n % 2)
    label.putpalette([0] * 768)
    label.save(voc / f"SegmentationClass/{n}.png")
for name, ids in {"train": "0\n1\n", "val": "2\n3\n", "trainval": "0\n1\n2\n3\n"}.items():
    (voc / f"ImageSets/Segmentation/{name}.txt").write_text(ids)
(voc / "class_names.txt").write_text("background\nthing\n")
words = "the king rules the land and the queen rules the sea".split()
random.seed(0)
lines = (" ".join(random.choices(words, k=8)) for _ in range(200))
(here / "text.txt").write_text("\n".join(lines) + "\n")
(here / "series.csv").write_text("level\n" + "".join(f"{n % 12}\n" for n in range(300)))
END

"$jaxdl" --version
"$jaxdl" fcn train --data photos --stages 32 --epochs 1 --learning-rate 0.01 --width-divisor 32 \
  --out runs/fcn
"$jaxdl" fcn predict runs/fcn photos/JPEGImages/0.jpg --out predictions
test -s predictions/0_classes.png
"$jaxdl" word2vec train --data text.txt --dim 8 --epochs 1 --min-count 1 --out runs/words
"$jaxdl" word2vec query runs/words king - the + sea
"$jaxdl" lstm train --data series.csv --hidden 2 --seeds 1 --steps 20 --log-every 10 --period 12 \
  --out runs/series
"$jaxdl" lstm predict runs/series series.csv --horizon 5 --out next.csv
test "$(wc -l <next.csv)" = 6
for subject in fcn word2vec lstm; do
  "$jaxdl" "$subject" train --help >help.txt
done
"$folder/venv/bin/python" -m pip list --format freeze | wc -l
du -sm "$folder/venv" | cut -f1
