"""A process of the store's own, for tests that kill it.

``python -m tests.state.worker URL ROLE``. Prints one line an act; dies by a signal.
Roles: ``claims`` claims one response and hangs; ``shows`` claims one, shows output and hangs;
``holds`` writes a synchronous response ahead and hangs; ``runs`` runs whatever is due;
``stores`` stores one response after another and prints each acknowledged id.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402

from app.state.runner import Job  # noqa: E402
from app.state.state import State, open_state  # noqa: E402
from tests.state.turns import begin, claim_one, delta, ending, in_progress, item_opened, message, take_turn  # noqa: E402


def say(words: str) -> None:
    print(words, flush=True)


def claims(state: State) -> None:
    say(claim_one(state).id)


def shows(state: State) -> None:
    work = claim_one(state)
    assert state.events.append(work.id, work.fence, [in_progress(), *item_opened(), delta(5, "shown")])
    say(work.id)


def holds(state: State) -> None:
    say(begin(state)[0])


def runs(state: State) -> None:
    def execute(job: Job) -> None:
        say(job.work.id)
        gevent.sleep(0.2)
        end = ending(job.work.id, [message("done")], events=[in_progress(job.work.next_number)])
        state.responses.finish(job.work.tenant, job.work.id, job.work.fence, end)

    state.run_background(execute)


def stores(state: State) -> None:
    while True:
        say(take_turn(state, "kept", [message("whole")]))


ROLES = {"claims": claims, "shows": shows, "holds": holds, "runs": runs, "stores": stores}


def main(url: str, role: str) -> None:
    state = open_state(url, {"SLUICE_SECRET_KEY": "a test's own secret"})
    state.start()
    ROLES[role](state)
    gevent.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
