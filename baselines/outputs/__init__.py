"""Outputs of systems from elsewhere: read from a folder, or made by a command in an environment of its own.

    method   both behind the harness's interface
    files    outputs found by the names of samples, in a folder or in a table
    command  the program: its inputs as files, how it is started, watched and ended
    reading  one output as the harness keeps it

`method` uses the other three, `command` also `files` and `reading`.
"""
