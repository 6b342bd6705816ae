"""Public functions called with one argument that nobody means: a right answer, or a TlsteerError."""

import contextlib
import random
import signal
import warnings

import matplotlib.pyplot as plt

import tlsteer as ts
from tests.faults.room_calls import RoomCalls
from tests.faults.values import described, mutated
from tests.test_front_door import public

# What is raised on purpose and is no TlsteerError.
ALLOWED = ()
# What is not called: it starts processes or a server, needs packages of others, or is tried by a campaign of its own.
LEFT_OUT = {
    "cluster.workers", "ui.serve", "ui.example_vectors", "harnesses.evaluate_tasks", "load", "measure.costs_of",
    "measure.executing", "measure.measured", "data.is_table", "exchange.formats", "exchange.remote_interventions",
    "exchange.to_transformers", "runs.accepting_versions", "steering.attach", "steering.collected_receipts",
    "studies.study_names",
}  # fmt: skip
SECONDS = 60


class Slow(BaseException):
    """A call that takes longer than anything here should."""


def every_call(folder):
    """The function and the valid arguments of every public call."""
    calls, found = RoomCalls(folder), {}
    for group in (calls.door, calls.fits, calls.inputs, calls.rooms, calls.pictures, calls.others):
        found |= group()
    things = public()
    return {name: (things[name], arguments) for name, arguments in found.items()}


def tried(call, arguments):
    """What a call ends with: None where it is right, else what is wrong."""

    def late(*_):
        raise Slow

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = call(**arguments)
            if isinstance(made, contextlib.AbstractContextManager):
                with made:
                    pass
        return None
    except (ts.TlsteerError, *ALLOWED):
        return None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error
    finally:
        signal.alarm(0)
        plt.close("all")


def campaign(folder, seed, n_each):
    """The number of calls tried, and what failed: (function, argument, value, error)."""
    failed, n = [], 0
    for name, (call, arguments) in every_call(folder).items():
        if (error := tried(call, arguments)) is not None:
            failed.append((name, "", "as documented", error))
        for argument in arguments:
            # What is drawn for one does not depend on which others there are.
            draw = random.Random(f"{seed} {name} {argument}")
            for _ in range(n_each):
                value = mutated(arguments[argument], draw)
                error, n = tried(call, {**arguments, argument: value}), n + 1
                if error is not None:
                    failed.append((name, argument, described(value), error))
    return n, failed
