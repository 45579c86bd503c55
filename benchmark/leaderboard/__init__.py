"""Published results, and what is generated from them.

    submissions  a result as it is published, read and written; `add` makes one of a run
    rules        what a result has to be, a function for each rule
    board        the tables; `ranks` tells which of their rows are ahead of which, `readme` makes those in README
    groups       the tables over groups of people or recordings, and what is known of samples
    page         index.html, with small `drawings`
    examples     a few outputs to see and to hear; `figures` are the papers'
    refresh      makes again what is no longer current

Their folder:

    leaderboards/
      results/<task>/<dataset>/<method>/<run_id>.json             a run's result, as `run` wrote it
      results/<task>/<dataset>/<method>/<run_id>.scores.jsonl.gz  what was measured of each output
      known.toml                                                  data and weights that results may be made from
      commands.toml                                               which command makes which rows
      examples/<task>/<dataset>/<run_id>/                         outputs to see and to hear, and about.json
      figures/                                                    the papers' figures, drawn of published runs
      samples/<task>/<dataset>/<manifest>.csv                     what is known of the samples: sex, age, noise, SNR
      index.html                                                  generated
      <task>/<dataset>.md, .csv                                   generated
      <task>/by_sex/<dataset>.md, .csv                            generated, with samples/
      <task>/reported.md, .csv                                    generated, from papers/
"""
