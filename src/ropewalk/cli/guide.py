"""The texts of `--help`: what a command does, examples, and what one needs to know to use it."""

from typing import NamedTuple


class Guide(NamedTuple):
    """Text above and below the list of arguments."""

    what: str
    more: str


_EXIT_CODES = """\
exit codes:
  0    done
  1    failed: the run failed or was cancelled, or the store is in trouble
  2    what was typed cannot be right, or the file or the run it names
  75   the run is paused and waits for you
  130  you pressed Ctrl-C; the run can go on
"""

_GOES_ON = (
    """\
Going on with a run executes the file that draws its graph. `ropewalk run` notes which file that is in the folder
where it was typed, in .ropewalk/graphs.jsonl, never in the store. From elsewhere, name it: --graph FILE:graph

"""
    + _EXIT_CODES
)

ROPEWALK = Guide(
    "Runs typed graphs as durable logs: nothing finished is lost or done twice, whatever dies whenever.",
    """\
examples:
  ropewalk new demo && cd demo          a project that runs at once
  ropewalk run flow.py                  run its graph and watch it
  ropewalk runs ls                      what ran, what waits
  ropewalk runs show RUN --svg run.svg  one run: status, state, what it asks, history, picture
  ropewalk runs answer RUN yes          answer what it asks; it goes on
  ropewalk graph flow.py -o flow.svg    draw the graph
  ropewalk worker flow.py               drive the runs that programs leave to workers

where runs are kept, the first of:
  --store URL
  ROPEWALK_STORE in the environment
  store = "URL" under [tool.ropewalk] in pyproject.toml, in this folder or above
  sqlite:///.ropewalk/runs.db
A URL is sqlite:///runs.db (relative), sqlite:////var/lib/runs.db (absolute), postgresql://user@host/database, or what
a plug-in offers. Leave passwords to ROPEWALK_STORE, PGPASSWORD or ~/.pgpass: others can see what is typed.

"""
    + _EXIT_CODES
    + "\n`ropewalk COMMAND --help` says more about each command.",
)

SERVE = Guide(
    "Serves graphs over HTTP: start runs, follow them live, answer what they ask. For programs, browsers and teams.",
    """\
examples:
  ropewalk serve flow.py                                     http://127.0.0.1:8000, for this machine alone
  ropewalk serve flow.py:graph other.py:graph --port 9000    several graphs
  ROPEWALK_API_KEYS=ann:KEY,bob:KEY ropewalk serve flow.py --host 0.0.0.0
  ropewalk serve flow.py --store postgresql://me@db/runs --workers     runs are driven by `ropewalk worker`
  ropewalk serve flow.py --store postgresql://me@db/runs --workers --bus nats://bus:4222    with the tokens they say

  curl -X POST localhost:8000/graphs/NAME/runs -H 'content-type: application/json' -d '{"input": {}}'
  curl -N localhost:8000/runs/RUN/events

GET /openapi.json tells all of it. This process drives the runs, and goes on, when it starts, with those that a dead
one left in the store; with --workers they are left to workers. Off loopback it does not start before somebody has said
who may use it. Ctrl-C lets streams and runs come to rest; a second one does not wait.

exit codes: 0 after a stop, 1 when it cannot serve, 2 when what was typed cannot be right.
""",
)

DEV = Guide(
    "Serves every graph of a folder, and loads them anew when a file is saved. Runs and their readers survive that.",
    """\
examples:
  ropewalk dev                     the graphs of this folder, at http://127.0.0.1:8000
  ropewalk dev flow.py --port 0    those of one file, on any free port

A file that cannot be loaded leaves the last good version serving; its traceback is shown here. A run that is under way
is handed to the new version between two steps, or its step begins anew. For others to use: ropewalk serve.

exit codes: 0 after a stop, 1 when it cannot serve, 2 when what was typed cannot be right.
""",
)

RUN = Guide(
    "Runs a graph in this process and prints a line for each step that ends, and text as it comes.",
    """\
examples:
  ropewalk run flow.py                             FILE alone, when it draws one graph
  ropewalk run flow.py:graph --input '{"n": 3}'    the initial state as JSON
  ropewalk run flow.py:graph --input @state.json   ... from a file
  echo '{"n": 3}' | ropewalk run flow.py --input - ... from standard input
  ropewalk run flow.py --json | jq .type           every event as a line of JSON, the run itself as the last

Ctrl-C, kill -9, a crash: what is finished is kept. `ropewalk runs resume RUN` goes on from there.
A store that the file itself gives its graph is used unless --store is given.

"""
    + _EXIT_CODES,
)

RUNS = Guide(
    "Looks at runs that are kept in a store, and goes on with them.",
    """\
examples:
  ropewalk runs ls --status paused        what waits for somebody
  ropewalk runs show RUN                  where it stands and how to answer it
  ropewalk runs tail RUN                  follow it while another process drives it
  ropewalk runs answer RUN yes            answer the one thing it asks
  ropewalk runs answer RUN --approve      let the call of a tool run that waits for you
  ropewalk runs resume RUN                go on after a crash, a failure, a breakpoint
  ropewalk runs cancel RUN --reason "..." end it for good
  ropewalk runs fork RUN --at 12          a new run that begins with its first 12 entries

RUN is an id or the beginning of one. ls, tail and show need the store alone, not the graph's file; show
tells the state and draws only with it.

"""
    + _EXIT_CODES,
)

LS = Guide(
    "Lists runs, newest first. Needs nothing but the store.",
    """\
examples:
  ropewalk runs ls
  ropewalk runs ls --status paused --status failed
  ropewalk runs ls --json | jq -r '.[].run_id'

exit codes: 0, or 1 when the store is in trouble.
""",
)

SHOW = Guide(
    "Shows where a run stands: status, what it waits for and how to answer, state, history.",
    """\
examples:
  ropewalk runs show RUN
  ropewalk runs show RUN --svg run.svg       draws which steps ran, run, wait, failed, and the ways taken
  ropewalk runs show RUN --json | jq .state

The state and the picture need the graph's file: the one the run was started from in this folder, or --graph FILE:graph.

exit codes: 0 whatever the run's status is; 2 when there is no such run.
""",
)

TAIL = Guide(
    "Prints a run's entries, and new ones as they are committed, until it pauses or ends. Needs nothing but the store.",
    """\
examples:
  ropewalk runs tail RUN
  ropewalk runs tail RUN --after 120 --json
  ropewalk runs tail RUN --no-follow

It only looks: Ctrl-C leaves the run alone. A run whose process died stays RUNNING until somebody resumes it.

"""
    + _EXIT_CODES,
)

ANSWER = Guide(
    "Answers what a run asked, a question or whether a tool may be called, and drives the run on until it stops again.",
    """\
examples:
  ropewalk runs answer RUN yes                   the only question it asks
  ropewalk runs answer RUN p_4711 no             one of several, see `ropewalk runs show RUN`
  ropewalk runs answer RUN '{"amount": 12.5}'    JSON
  ropewalk runs answer RUN "not before Monday"   text

a call of a tool that waits for you:
  ropewalk runs answer RUN --approve                       let it run; after it ran, let its result count
  ropewalk runs answer RUN p_4711 --reject "too much"      do not; the model is told, and why
  ropewalk runs answer RUN --arguments '{"amount": 4}'     let it run with these arguments; the model is told
  ropewalk runs answer RUN --happened '"paid"'             its outcome was unknown: it did happen, with this result

yes and no are true and false; what parses as JSON is that; all else is text ('"yes"' is the text yes).
A question takes one answer; the second is told who was first. Breakpoints are released by resume.
A run that was left to workers goes on at one of them; this command follows it, and Ctrl-C leaves it alone.

"""
    + _GOES_ON,
)

RESUME = Guide(
    "Goes on with a run: after a crash or Ctrl-C, after a failure that you mended, or past a breakpoint.",
    """\
examples:
  ropewalk runs resume RUN
  ropewalk runs resume RUN --graph flow.py:graph

Finished steps are never run again. If another process still drives the run it is taken over, and that process stops.

"""
    + _GOES_ON,
)

CANCEL = Guide(
    "Ends a run for good: durable first, then whatever is in flight is cancelled and cleans up.",
    """\
examples:
  ropewalk runs cancel RUN --reason "not needed any more"

A process that drives the run elsewhere is refused by the store at its next step and stops.

"""
    + _GOES_ON.replace("0    done", "0    cancelled"),
)

FORK = Guide(
    "Begins a new run whose log starts with an old one's entries, and drives it on. The old run stays as it is.",
    """\
examples:
  ropewalk runs fork RUN --at 12                  entries 1 to 12 are shared, then it goes its own way
  ropewalk runs fork RUN --at 12 --set city=Rome  ... with another value in the state

`ropewalk runs show RUN` numbers the entries. The fork asks its own questions and has its own idempotency keys.

"""
    + _GOES_ON,
)

WORKER = Guide(
    "Drives the runs that programs leave to workers, by graph.submit(), until it is told to stop.",
    """\
examples:
  ropewalk worker flow.py --store postgresql://me@db/runs
  ropewalk worker flow.py:graph other.py:graph --concurrency 50 --lease 30
  ropewalk worker flow.py --on-mismatch fail     a run that no longer fits the graph fails, and says why
  ropewalk worker flow.py --bus nats://bus:4222  its tokens reach the clients of `ropewalk serve --workers --bus`
  ropewalk worker app.py:chat --bus nats://bus:4222 --sessions redis://cache:6379    answers chats as well

Start as many workers as you like, on any machine. Each run is held by one of them, by a lease that it prolongs; when
it dies, another takes the run over once the lease has run out. Paused runs are held by nobody.

SIGTERM or Ctrl-C: it claims no more, lets every run come to rest between two steps, and hands it over; others have it
at once. A second signal does not wait for steps in flight; they run again elsewhere.

exit codes:
  0    told to stop, and everything was handed over
  1    the store is in trouble
  2    what was typed cannot be right, or the file or the graph it names
  130  steps were cut off by a second signal; their runs go on elsewhere
""",
)

GATEWAY = Guide(
    "Is a pod of the chat service: takes messages, and streams the answers of workers to the clients it holds.",
    """\
examples:
  ropewalk gateway app.py:chat --store postgresql://me@db/chat --bus nats://bus:4222 --sessions redis://cache:6379
  NATS_URL=nats://bus REDIS_HOST=cache ROPEWALK_STORE=postgresql://me@db/chat ropewalk gateway app.py:chat

  curl -N "http://localhost:8080/api/sse?session_id=test&user_id=user1"
  curl -X POST http://localhost:8080/api/chat -H 'content-type: application/json' \\
       -d '{"session_id": "test", "user_id": "user1", "message": "Hello"}'

Start as many as you like, with as many `ropewalk worker` behind the same store and bus: any pod takes a message, any
worker answers it, every client of the session gets it, whichever pod holds it. A pod keeps nothing: a client that comes
back, anywhere, goes on behind the last event it has. ropewalk chat is all of it in one process, with nothing installed.

Off loopback it does not start before somebody has said who may use it. SIGTERM or Ctrl-C sends the clients elsewhere.

exit codes: 0 after a stop, 1 when it cannot serve, 2 when what was typed cannot be right.
""",
)

CHAT = Guide(
    "Serves a chat from this process alone: a pod and a worker, with nothing else installed.",
    """\
examples:
  ropewalk chat                                      the demonstration, at http://127.0.0.1:8080
  ropewalk chat app.py:chat --port 0                 a graph whose state has `messages`, on any free port
  ropewalk chat app.py:chat --store sqlite:///chat.db

  curl -N "http://localhost:8080/api/sse?session_id=test&user_id=user1"
  curl -X POST http://localhost:8080/api/chat -H 'content-type: application/json' \\
       -d '{"session_id": "test", "user_id": "user1", "message": "Hello"}'

The same doors, and the same promises, as many pods and workers: see ropewalk gateway.

exit codes: 0 after a stop, 1 when it cannot serve, 2 when what was typed cannot be right.
""",
)

DOCTOR = Guide(
    "Finds unfinished runs that nothing moves on, and says what to do. It only looks.",
    """\
examples:
  ropewalk doctor --store postgresql://me@db/runs
  ropewalk doctor --after 600                    a run may wait, or be silent, for ten minutes
  ropewalk doctor --json | jq -r '.[].run_id'
  ropewalk doctor --bus nats://bus:4222 --sessions redis://cache:6379    the chat's parts as well

It tells of runs left to workers that are not in the queue (there should be none), of runs that have been due for long
and no worker takes, and of runs driven without workers whose log has been silent for long. Where NATS_URL or REDIS_HOST
is set, or --bus or --sessions given: whether they can be used, and of requests that nobody could answer.

exit codes: 0 when nothing was found; 1 when something was, or the store is in trouble.
""",
)

DB = Guide(
    "Looks after the tables of a store.",
    """\
examples:
  ropewalk db upgrade --store postgresql://owner@db/runs

exit codes: 0, or 1 when the store is in trouble.
""",
)

UPGRADE = Guide(
    "Brings the tables of a store up to date. Programs that use it go on meanwhile.",
    """\
examples:
  ropewalk db upgrade --store postgresql://owner@db/runs

A store does it by itself when it is first used, unless its URL says ?migrate=no: then its user need not be allowed to.

exit codes: 0, or 1 when the store is in trouble.
""",
)

GRAPH = Guide(
    "Checks a graph, finding every mistake at once, and draws it. No Graphviz is needed.",
    """\
examples:
  ropewalk graph flow.py                   its nodes and edges, in words
  ropewalk graph flow.py:graph -o flow.svg
  ropewalk graph flow.py --mermaid >> README.md

exit codes: 0; 2 when the file or the graph has mistakes.
""",
)

NEW = Guide(
    "Writes a small project: a workflow that runs at once, without a key or a service. Nothing is overwritten.",
    """\
examples:
  ropewalk new demo
  cd demo
  ropewalk run flow.py

exit codes: 0; 2 when a file is there already.
""",
)
