"""What is read from strace's logs."""

import random
from pathlib import Path

from tests.faults.calls import aims, listed, met

LOG = """\
7 close(5</h/run/run.json> <unfinished ...>
8 openat(AT_FDCWD</x>, "/h/run/.run.json.7.tmp", O_WRONLY|O_CREAT) = 6</h>
7 <... close resumed>) = -1 ENOSPC (No space left on device) (INJECTED)
8 openat(AT_FDCWD</x>, "/h/run/summary.json", O_RDONLY) = 6</h/run/summary.json>
8 mkdir("/h/run", 0777) = -1 EEXIST (File exists)
8 write(6</h/run/checkpoints/5/state/d/0123456789abcdef0123456789abcdef>, "", 0) = 0
8 fsync(6</h/run/tensorboard/a>) = ?
9 unlinkat(5</h/run>, "map.json", 0) = 0
"""


def test_a_log_tells_what_was_written_and_what_was_met():
    home = Path("/h")
    assert list(met(LOG, home, 7)) == ["run.json", "TensorBoard"]
    calls = listed(LOG, home, 7)
    assert [(call.name, call.kind, call.path) for call in calls] == [
        ("openat", "run.json", "/h/run/.run.json.PID.tmp"),
        (
            "write",
            "checkpoint data",
            "/h/run/checkpoints/5/state/d/0123456789abcdef0123456789abcdef",
        ),
        ("fsync", "TensorBoard", "/h/run/tensorboard/a"),
        ("unlinkat", "map.json", "/h/run"),
    ]
    # A name that the other listing lacks is met by number.
    other = [call for call in calls if call.name != "write"]
    paths = {call.name: call.path for call in aims(other, calls, random.Random(0))}
    assert paths["write"] is None
    assert paths["openat"] == "/h/run/.run.json.PID.tmp"
