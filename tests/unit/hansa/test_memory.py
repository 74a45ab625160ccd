"""What is given back once a process has started."""

from __future__ import annotations

import subprocess
import sys

from hansa.memory import code_in

MAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 08:01 42 /usr/bin/python3
55d0c0001000-55d0c0003000 r-xp 00001000 08:01 42 /usr/bin/python3
7f0000000000-7f0000004000 r-xp 00000000 08:01 43 /usr/lib/a library (deleted)
7f0000004000-7f0000005000 rw-p 00004000 08:01 43 /usr/lib/a library (deleted)
7f0000010000-7f0000011000 r-xp 00000000 00:00 0
7f0000011000-7f0000012000 rwxp 00000000 08:01 44 /usr/lib/writes-its-code.so
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]
"""

GIVES_BACK = """
import re, ssl, sqlite3
from hansa.memory import give_back

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])

before = resident()
give_back()
after = resident()
assert after < before, (before, after)
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
assert re.fullmatch("(a|b)+c", "ababc") and ssl.create_default_context()
print("works")
"""


def test_only_code_that_nothing_can_change_and_that_a_file_holds_is_given_back() -> None:
    assert code_in(MAPS) == [(0x55D0C0001000, 0x55D0C0003000), (0x7F0000000000, 0x7F0000004000)]
    assert code_in("") == []


def test_a_process_is_smaller_afterwards_and_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", GIVES_BACK], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr
