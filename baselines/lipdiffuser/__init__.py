"""LipDiffuser (de Oliveira et al. 2025): speech from silent lips and a sample of the voice.

    method, config      what the harness runs, and its settings; `windows` cut what is too long for one pass
    network             what sees, what draws and what sounds, as one:
      visual_encoder      lips -> features; `braven` is the paper's, `visual_features` reads what was computed before
      speaker             a voice -> an embedding
      unet, diffusion     both -> a log-mel spectrogram (`mel`)
      vocoder             that -> sound; `equaliser` puts its spectrum right
    training            all trainings in order: visual_training, vocoder_training, denoiser_training
    preparation         recordings -> what the denoiser learns from (`utterances`)
    clips, lip_shards   mouths with their speech, and what is seen of them, on disk
    augmentation        mouths moved, scaled and lit at random

`method` runs the network that `training` made; `mel` is what their parts agree on.
"""
