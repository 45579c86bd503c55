"""The metrics: pure functions of arrays; imports neither benchmark nor baselines.

    metric    what a metric is: rows of statistics for outputs, a weighted aggregate of rows, a signature
    faces     metrics of generated faces
    speech    metrics of speech
    networks  pretrained networks inside metrics
    plain     torch as it is before anybody has set anything
    sizes     how the size of a file is told

`faces` and `speech` use `metric`, and are handed `networks`.
"""
