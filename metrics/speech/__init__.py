"""Metrics of speech: one file each, with the function, and the class that the harness runs.

    pesq, stoi, si_sdr, sdr           against a reference, sample by sample
    dnsmos, nisqa                     by networks, from the sound alone
    word_errors, lps                  words and phones that survive; `normalisers` of texts
    speaker_similarity                whether the voice is the same
    lip_sync, delay, rtf              time: against the mouth, against the reference, on the clock

    items            how two recordings become what a metric measures
    signals          checks that all share: lengths, rates, ragged batches
    octave_resample  the resampler of STOI
    torch_metrics    the same functions as torchmetrics classes

A metric is handed items (`items`), and gives a row of statistics for each.
"""
