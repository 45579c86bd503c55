"""Datasets: one file per corpus, each turning an on-disk layout into a manifest; none copies or alters a corpus.

Voices and faces of one person, for `speech2face`:
    hq_voxceleb, vggface_voxceleb1, voxceleb1; `voxceleb` is where their recordings lie
Talking faces, for enhancement, separation and lip reading (`audiovisual` is what they share):
    voxceleb2, lrs3, grid, tcd_timit, ntcd_timit, lrs3_chime3, avspeech
Of one kind alone:
    librispeech (speech), ffhq (portraits), audioset and chime3 (noise)
People of one's own, and people who are made:
    folder; talkers, where `corpus` is the adapter, `identity` draws the people, `voice` and `face` what they sound and
    look like, `lips` when the mouth moves, and `population` as many more as a training asks for

    dataset       what an adapter is, and how the harness opens one
    manifest      the list of samples that an adapter makes, as JSON lines
    facts         what is known of a corpus before anyone has it: `data info`
    media_files   the files of a corpus, each that is left out named; `lengths` remembers how long they are
    utterances    who said what, in order; it lies in a temporary file, as all that is `spilled`
    mixtures      speech with noise: lists drawn once; by published ones, `pair_lists` and `noise_lists`
    tables        tables of text that come with a corpus; `names` in them and on disk
    places        where the user keeps corpora; `roots` says what is wrong with a folder that holds none
    prepared      folders that `data prepare` made
    verification  every file opened to its end: `data verify`
    population    how many people a training is to draw
"""
