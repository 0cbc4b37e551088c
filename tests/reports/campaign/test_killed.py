"""A campaign whose process is killed goes on where it was."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

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
    names = tuple(names for names in COMBINATIONS if names.output == "identity")[:int(sys.argv[2])]
    share, limits = whole.Share(1, 1), Limits(60, 4096)
    of = whole.CampaignRequest({"numpy": names}, "cpu", ("float32",), 1, 0, 7, False, False, share, limits)
    whole.measure(of, {"numpy": "numpy"}, 2, Path(sys.argv[1]), lambda what: None, print)
    print("finished", flush=True)

if __name__ == "__main__":
    main()
"""

KILLS = 20


def test_a_campaign_that_is_killed_again_and_again_loses_nothing_and_makes_nothing_twice(tmp_path):
    count, rng = 250, random.Random(SEED)
    (tmp_path / "harness.py").write_text(HARNESS)
    command = [sys.executable, str(tmp_path / "harness.py"), str(tmp_path), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(Path(campaign.__file__).parents[2])}
    path, done, killed = tmp_path / JOURNAL, [], 0
    while killed < KILLS:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
        wanted = len(done) + rng.randrange(1, 12)  # killed at a moment that its progress chooses, not the clock
        while len(keys_in(path)) < wanted and process.poll() is None:
            os.sched_yield()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        killed += 1
        now = keys_in(path)
        assert now[: len(done)] == done, "a finished cell is lost"
        assert len(set(now)) == len(now), "a cell is made twice"
        done = now
        if killed % 5 == 0:  # as if it had been killed within a line
            path.write_bytes(path.read_bytes() + b'{"key": ["numpy", "flo')
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "finished" in finished
    assert "is torn and dropped" in finished
    keys = keys_in(path)
    assert keys[: len(done)] == done
    assert len(set(keys)) == len(keys) == count + 1
