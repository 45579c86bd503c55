"""FlowAVSE (Jung et al. 2024): noisy speech and the speaker's face to clean speech, by flow matching.

    method, config    what the harness runs, and its settings
    enhancer          what FlowAVSE and its relatives do around their networks; `spectrogram` is what these see
    network           both stages and their encoders of the face, of `ncsnpp` and `visual_encoder`
    flow_matching     from the first estimate to clean speech
    training          of everything at once; `visual_training` of the encoder alone
    clips             training clips, mixed anew each time; `clip_shards` has them decoded
    official          the authors' checkpoints under our names

`method` uses `enhancer`, which runs the network that `training` made.
"""
