"""The verbs: parsing only; whatever is heavy is imported inside the functions.

    main      `python -m benchmark`: all verbs under one command, and how errors end it; `ending`: how signals do
    run, generate, score, compare, table, figure, predict, train, speed, leaderboard, show, data, weights, doctor
              a verb each; `list` is in `listing`, `data prepare` in `prepare`
    options   options that several verbs share
    tables    how a finished run is told: table, notes, failures, exit code
    groups    how numbers over groups are told: `--by`
    console   tables on stdout, messages on stderr; `progress` has the bars, `streams` keeps both steady

A verb uses what does the work and hands results to `tables`; nothing outside knows this package.
"""
