"""How tests that run in Python are counted, and those of them that have no emulated machine are run."""
import fnmatch
import os
import sys

SECOND_TRIES = 5


def closing(names, outcomes, flaky):
    """The last lines of a run of tests: those that passed at a second try only, one below the other, and the counts, alone and last."""
    counts = ", ".join(f"{outcomes.count(outcome)} {word}" for outcome, word in (("pass", "passed"), ("fail", "failed"), ("skip", "skipped")))
    return [f"FLAKY  {names[i]}" for i in flaky] + ([f"{len(flaky)} flaky"] if flaky else []) + [counts]


def again(names, outcomes, attempt):
    """Each that failed has one more try, by attempt(its number), and both are on record; more than a few failures are no accident. The numbers of
    those that passed so."""
    failed = [i for i, outcome in enumerate(outcomes) if outcome == "fail"]
    if len(failed) > SECOND_TRIES:
        return []
    for i in failed:
        print(f"AGAIN {names[i]}", flush=True)
        outcomes[i] = attempt(i)
    return [i for i in failed if outcomes[i] == "pass"]


def run(tests, attempt):
    """Those of the tests (functions) that the command line names, by attempt(test): "pass", "fail" or "skip", and of the latter two why; the
    exit status. Such a test has this host's other work and its kernel beside it: what failed has one more try, and both are on record."""
    program = os.path.basename(os.path.dirname(os.path.realpath(sys.argv[0])))
    chosen = [test for test in tests if not sys.argv[1:] or any(fnmatch.fnmatch(test.__name__, f"*{p}*") for p in sys.argv[1:])]

    def one(test):
        outcome, why = attempt(test)
        print(f"{outcome.upper()}  {test.__name__}{why and ': '}{why}", flush=True)
        return outcome

    outcomes = [one(test) for test in chosen]
    flaky = again([test.__name__ for test in chosen], outcomes, lambda i: one(chosen[i]))
    print(*closing([f"{program}: {test.__name__}" for test in chosen], outcomes, flaky), sep="\n")
    return 1 if "fail" in outcomes or not chosen else 0
