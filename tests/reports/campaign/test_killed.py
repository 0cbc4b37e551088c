"""A campaign whose process is killed goes on where it was."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reports.campaign import campaign
from reports.campaign.campaign import JOURNAL
from tests.reports.campaign.campaigns import SEED, keys_in

HARNESS = """
import sys
from pathlib import Path
from reference.cases import COMBINATIONS
from reports.campaign import campaign as whole
from reports.running.workers import Limits

def main():
    names = {"float32": tuple(names for names in COMBINATIONS if names.output == "identity")[:int(sys.argv[2])]}
    share, limits = whole.Share(1, 1), Limits(60, 4096)
    of = whole.CampaignRequest("full", {"numpy": names}, "cpu", ("float32",), 1, 0, 7, False, False, share, limits)
    told = lambda *what: print(*what, flush=True)
    whole.measure(of, {"numpy": "numpy"}, 2, Path(sys.argv[1]), lambda key, record: told("journalled", key), told)
    told("finished")

if __name__ == "__main__":
    main()
"""


def killed_after(process, count):
    """Kill it when it has journalled so many cells: its progress chooses the moment, not the clock."""
    for line in process.stdout:
        count -= line.startswith("journalled")
        if not count:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(("kills", "count"), [(3, 40), pytest.param(20, 250, marks=pytest.mark.exhaustive)])
def test_a_campaign_that_is_killed_again_and_again_loses_nothing_and_makes_nothing_twice(tmp_path, kills, count):
    rng = random.Random(SEED)
    (tmp_path / "harness.py").write_text(HARNESS)
    command = [sys.executable, str(tmp_path / "harness.py"), str(tmp_path), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(Path(campaign.__file__).parents[2])}
    path, done = tmp_path / JOURNAL, []
    for number in range(1, kills + 1):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        killed_after(process, rng.randrange(1, 12))
        now = keys_in(path)
        assert now[: len(done)] == done, "a finished cell is lost"
        assert len(set(now)) == len(now), "a cell is made twice"
        assert len(now) > len(done), "nothing was made"
        done = now
        if number in (kills // 2, kills):  # as if it had been killed within a line
            path.write_bytes(path.read_bytes() + b'{"key": ["numpy", "flo')
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "finished" in finished
    assert "is torn and dropped" in finished
    keys = keys_in(path)
    assert keys[: len(done)] == done
    assert len(set(keys)) == len(keys) == count + 1
