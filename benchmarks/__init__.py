"""What Ropewalk costs, measured beside the bare loop and beside its peers in one run, into one table.

`python -m benchmarks --help` from the repository's root, with ``PYTHONPATH=src:.``.

1. `case.py` says what a case is: contestants that do the same work, and targets between them.
2. `cases/` lists the cases; `floors/`, `ours/` and `peers/` do the work.
3. `contest.py` gives each contestant a process of its own (`worker.py`) and lets them repeat in turns; `servers.py`
   starts the server that a case asks for, and each contestant has a database of its own on it (`database.py`).
4. `verdict.py` turns costs into ratios; `table.py` draws them.
"""
