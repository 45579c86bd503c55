"""Building blocks used by more than one method.

    speech_input, vad         speech that can be used; its pauses taken out
    log_filter_banks, sphinx_mel, front_ends, windows   SF2F's and voice2face's features of speech
    inception1d, upsampling   parts of networks that draw faces; `pixels` between pictures and tensors
    magnitude_preserving      layers of EDM2
    width                     one code for a paper's full size and for a small preset
    perceptual                a loss that looks through a network; `vgg19` and `arcface18` are such networks
    ridge                     ridge regression in closed form
    heard_alone               what enhancers that do not see share

Nothing here knows a method.
"""
