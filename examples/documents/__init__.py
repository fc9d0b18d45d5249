"""A folder of documents becomes a digest that a person approves: the first workflow to look at.

Read `workflow.py` first: it is the graph. `reading.py` and `digest.py` are plain functions that know nothing of graphs.
"""
