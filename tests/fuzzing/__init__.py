"""Fuzzing of everything that reads untrusted bytes: whatever a file holds, a parser returns or says why it cannot.

    make fuzz                             every parser, for a minute each
    PYTHONPATH=tests python -m fuzzing --seconds 600 graph_def scan
    PYTHONPATH=tests python -m fuzzing --input FILE graph_def       one input, such as a run has left behind

A parser is one line in `parsers.py`. Each runs in a process of its own, with limits on memory and on the time that one
input takes. An input that breaks it is kept as a file, and what happened is printed.
The usual tests pass every parser a few hundred inputs (tests/unit/fuzzing).
"""
