"""Metrics of generated faces, one file per metric.

    similarity     cosine and L1 with the speaker's true faces, area under the ROC
    retrieval      recall among others, with `chance` as its floor
    identity_bits  how many bits of who speaks a face tells
    vggface_score  an Inception score of identities
    sex_agreement, age_agreement   what a judge reads (`judged`)
    craniofacial   measures of a face, turned to the front (`frontal_pose`)
    detection      whether there is a face at all

    gallery        the people a face may belong to
    ranks          exact ranks without sorting
    correlation, finite   weighted correlations, and means over the rows that have a value

A metric is handed its embedder or judge (`metrics.networks`), the gallery, then the faces to measure.
"""
