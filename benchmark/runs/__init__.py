"""From a command to a result file: making outputs, scoring them, and what is kept on the way.

    session      what one command asks for: methods beside each other, reference rows, the table's order
    evaluation   one run: its identity, its outputs, its scores, its result
    generation   outputs of a method for the samples of a split
    scoring      rows of metrics for outputs, and numbers with intervals from rows
    workers      processes that methods and metrics run in, and devices
    directory    the folder of a run: what lies where, how rows are read back
    provenance   code, packages and hardware that made a result
    recognition  which recogniser counts word errors, and kept transcripts
    export       mixtures, and crops of speech, as files for a system from elsewhere
    speed        `speed`: size, wall time and memory of methods; `timing` takes them fairly
    delays       how late the outputs of a method are together
    voices       who judges synthetic voices

`session` uses `evaluation`; that uses `generation`, `scoring` and `workers`; all use `directory`.
"""
