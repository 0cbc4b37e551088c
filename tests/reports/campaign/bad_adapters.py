"""Adapters that fail, each in its own way, wherever the hidden activation is tanh, and are right elsewhere."""

import ctypes
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from adapters.numpy.engine import NumpyEngine

BAD = {}
"""The adapter's class by its name."""

VERDICTS = {}
"""(verdict, what its reason has in it) by the same name."""


def bad(verdict, reason):
    """Turn a function of a Case and its right trace into an adapter."""

    def adapter(trace_of):
        class Mine(NumpyEngine):
            name = trace_of.__name__

            def trace(self, case):
                right = super().trace(case)
                return trace_of(case, right) if case.hidden == "tanh" else right

        BAD[trace_of.__name__], VERDICTS[trace_of.__name__] = Mine, (verdict, reason)
        return Mine

    return adapter


# --- raises


@bad("crashed", "RuntimeError: out of memory")
def raises(case, trace):
    raise RuntimeError("out of\nmemory")


@bad("crashed", "SystemExit: 0")
def exits(case, trace):
    sys.exit(0)


@bad("crashed", "KeyboardInterrupt")
def interrupts(case, trace):
    raise KeyboardInterrupt


@bad("crashed", "GeneratorExit")
def stops_the_generator(case, trace):
    raise GeneratorExit


@bad("crashed", "StopIteration")
def stops_the_iteration(case, trace):
    return next(iter(()))


@bad("crashed", "RecursionError")
def recurses(case, trace):
    def again():
        return again()

    return again()


@bad("crashed", "read-only")
def writes_into_the_case(case, trace):
    case.x[:] = 0
    return trace


# --- kills its process


@bad("crashed", "exit status 0")
def ends_the_process(case, trace):
    os._exit(0)


@bad("crashed", "exit status 7, having printed 'I am off'")
def ends_the_process_with_a_word(case, trace):
    print("I am off", file=sys.stderr, flush=True)
    os._exit(7)


@bad("crashed", "signal 9 (Killed)")
def kills_itself(case, trace):
    os.kill(os.getpid(), signal.SIGKILL)


@bad("crashed", "signal 6 (Aborted)")
def aborts(case, trace):
    os.abort()


@bad("crashed", "signal 11 (Segmentation fault)")
def reads_from_nowhere(case, trace):
    ctypes.string_at(0)


@bad("crashed", "closed its connection")
def closes_all_files(case, trace):
    os.closerange(3, 256)
    time.sleep(60)


# --- takes what it may not


@bad("timed-out", "more than 10 s")
def hangs(case, trace):
    while True:
        time.sleep(1)


@bad("timed-out", "more than 10 s")
def hangs_and_ignores_signals(case, trace):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


@bad("crashed", "more than 700 MiB of memory")
def allocates_without_end(case, trace):
    kept = []
    while True:
        kept.append(np.ones(2**20))
        time.sleep(0.002)


@bad("crashed", "MemoryError")
def allocates_all_at_once(case, trace):
    return np.ones(2**58)


@bad("crashed", "prints more than")
def prints_without_end(case, trace):
    while True:
        print("x" * 2**16)


# --- gives what is not a trace


@bad("malformed", "the trace, NoneType, has no loss")
def gives_nothing(case, trace):
    return None


@bad("malformed", "the trace, SimpleNamespace, has no a")
def leaves_a_field_out(case, trace):
    return SimpleNamespace(loss=trace.loss, dW=trace.dW, db=trace.db, losses=trace.losses, z=trace.z)


@bad("malformed", "dW of layer 1 has shape")
def transposes(case, trace):
    return replace(trace, dW={l: g.T for l, g in trace.dW.items()})


@bad("malformed", "z of layer 2 is missing")
def forgets_a_layer(case, trace):
    return replace(trace, z={1: trace.z[1]})


@bad("malformed", "dW is list, but should have an array for each layer")
def gives_a_list(case, trace):
    return replace(trace, dW=list(trace.dW.values()))


@bad("malformed", "db of layer 1 is of type <U")
def gives_text(case, trace):
    return replace(trace, db={l: g.astype(str) for l, g in trace.db.items()})


@bad("malformed", "a of layer 1 is of type complex128")
def gives_complex_numbers(case, trace):
    return replace(trace, a={l: a + 0j for l, a in trace.a.items()})


@bad("malformed", "is of type object, but should be of real numbers")
def gives_objects(case, trace):
    return replace(trace, delta={l: d.astype(object) for l, d in trace.delta.items()})


@bad("malformed", "z of layer 1 is not an array: ValueError")
def gives_ragged_rows(case, trace):
    return replace(trace, z={l: [[1.0], [1.0, 2.0]] for l in trace.z})


@bad("malformed", "loss has shape")
def gives_several_losses(case, trace):
    return replace(trace, loss=np.full(2, trace.loss))


@bad("malformed", "losses is of type bool")
def gives_booleans(case, trace):
    return replace(trace, losses=trace.losses > 0)


class says_nothing(NumpyEngine):
    name = "says_nothing"

    def supports(self, case):
        return None if case.hidden == "tanh" else True


BAD["says_nothing"], VERDICTS["says_nothing"] = says_nothing, ("malformed", "supports gives None")


# --- odd, and right


@bad("holds", None)
def prints(case, trace):
    print("<script>alert(1)</script>")
    os.write(1, b"straight to the descriptor\n")
    return trace


@bad("holds", None)
def changes_its_surroundings(case, trace):
    sys.stdout = sys.stderr = None
    np.seterr(all="raise")
    os.chdir("/")
    os.environ["OMP_NUM_THREADS"] = "7"
    return trace


@bad("holds", None)
def forks(case, trace):
    """The child goes on in the copy of the worker: what it sends must not count."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return trace


@bad("holds", None)
def gives_float32(case, trace):
    single = {l: z.astype(np.float32) for l, z in trace.z.items()}
    return replace(trace, z=single) if case.dtype == "float32" else trace


def spec(name):
    """What names an adapter."""
    return f"{Path(__file__)}:{name}"
