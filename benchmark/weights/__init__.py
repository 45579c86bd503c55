"""Files of weights, and the networks that they fill.

    published  which there are: where each comes from, and under which terms
    table      where they lie on this machine: found, fetched, verified, loaded safely
    downloads  a file over https, continued where it broke off
    networks   networks by name for metrics and losses, each loaded once

`networks` asks `table` for a file, which knows `published` and uses `downloads`.
"""
