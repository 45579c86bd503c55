"""How papers evaluate: a TOML file for each paper, with the words of the paper and what is decided where it is silent.

    book       reads these files, and one of the user's own
    following  fills the options of a run (`--protocol`), and finds what it does otherwise
    telling    a protocol as text: `show sf2f/table3`

`following` and `telling` use `book`; `benchmark.runs` is handed what they found, as options.
"""
