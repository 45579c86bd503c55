"""FaceVoice Bench: one harness for systems that cross voice and face.

Data flow one way: a corpus becomes a manifest, a method makes an output of each sample, metrics make rows of outputs,
rows make numbers with intervals, and tables, figures and leaderboards are made of numbers alone.

    cli          the verbs: `run`, `score`, `table` ...; they read options and call what follows
    datasets     corpora -> manifests; in datasets/talkers the one that is generated
    preparation  the papers' preprocessing of a folder of files: `data prepare`
    runs         method x manifest -> outputs, rows and a result, in a folder that a kill leaves whole
    pairs        the same for files that somebody has already: `score --reference --estimate`
    results      what a result says: its file, intervals, comparisons, groups
    reports      tables and figures of results
    protocols    how the papers evaluate, and how a run follows one
    papers       the papers' tables and figures beside what is measured here
    leaderboard  published results, and the tables and the page that are made of them
    weights      files of weights: where they come from, whether they are whole
    media        sound, pictures and video: the only room that touches codecs

    types          what all of them speak of: a sample, what of it a method is given, sound, video
    tasks          what goes into a method, what must come out, and how it is scored
    registry       names -> classes, without importing any; `plug_ins` are those of other packages
    configuration  the settings of a method, from defaults, presets, files and `--set`
    training       `train`: data, settings and networks for the loop in `baselines.training`
    diagnosis      `doctor`
    processes      workers that may die alone
    sources        hashes of the code that made something
    remarks, tracebacks, errors        what a reader says, what foreign code raised, what the user can mend
    files, text_files                  whole files or none; text that people hand in

Methods (`baselines`) and metrics (`metrics`) are reached by the registry's names alone. `metrics` knows neither of the
other two packages; `baselines` knows `types`, `errors`, `files`, `media`, `weights`, `processes` and `sources`.
"""

__version__ = "0.1.0"
