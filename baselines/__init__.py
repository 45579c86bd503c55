"""The methods: one folder each, all behind `baselines.method.Method`; `benchmark.registry` has them by name.

A face from a voice: sf2f, voice2face, avp_gan, speech2face_ddpm; `linear` is what they have to beat.
Clean speech from noisy speech and a face: flowavse, avdiffuss; sgmse, deepfilternet and wiener hear alone.
Speech from silent lips: lipdiffuser.
Made elsewhere: outputs.
Floors and ceilings: `reference` (faces), `reference_speech`, `talkers_oracle`.

A folder has, as far as the method needs them:

    README.md            the card: what it is, how it was trained, how near it comes to its paper
    method.py            the class that the harness runs
    config.py            its settings; presets.toml has them by name
    network.py           the paper's architecture, at any width
    training.py          losses and steps: recipes for the loop in `baselines.training`
    official.py          the authors' checkpoints under our names
    talkers.safetensors  weights trained on Talkers by the command in the card

Shared:

    method          what a method is; `network_method` one that is a network
    training        the loop: mixed precision, averages, resuming, several GPUs
    settings        checks of settings
    checkpoints     weights on disk
    people          voices and faces of a training split, drawn at random
    shards          what the files of a corpus gave, mapped into memory; `person_shards` for people
    ema, post_hoc_ema   averages of weights; `lamb` is an optimiser
    layers          building blocks of more than one method
"""
