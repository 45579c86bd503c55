"""What a finished run says.

    schema      its file, result.json
    statistics  how sure its numbers are: intervals over speakers
    comparison  whether it is ahead of another: `compare`
    groups      for whom a method works: `--by`; `attributes` is what is known of each sample
    finding     result files, below whatever folder
    frame       numbers of many as a table for pandas

`benchmark.runs` writes a result by `schema` and `statistics`; the others read what it has written.
"""

from benchmark.results.frame import frame

__all__ = ["frame"]
