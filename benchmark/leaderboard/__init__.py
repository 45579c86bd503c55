"""Published results: `submissions` reads and writes them, `rules` refuses what breaks one, `board` makes the tables
that are generated from them and `page` the page, `refresh` reruns what is no longer current, `examples` keeps a few of
their outputs, `figures` the papers' figures, `groups` makes the boards over groups of people or recordings.

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
