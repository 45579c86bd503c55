"""The metrics: pure functions of arrays; imports neither benchmark nor baselines.

    metric    what a metric is: rows of statistics for outputs, a weighted aggregate of rows, a signature
    faces     metrics of generated faces
    speech    metrics of speech
    networks  pretrained networks inside metrics
    plain     torch as it is before anybody has set anything

`faces` and `speech` use `metric`, and are handed `networks`.
"""
