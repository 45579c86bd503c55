"""Scoring files without a method: speech or faces, estimates against references, from folders, files or lists.

Which of the two it is is seen from the files. Speech meets one by one, by name; a face meets all true faces of its
person, and everybody of the reference is in the gallery, as in a run. With one face for each person all numbers are
those of a run of one evaluation run on the same pictures; several faces of a person count together, where a run has
evaluation runs and averages over them what is a property of many faces: ROC areas, VGGFace scores, correlations.

    listing     files by name, in a folder or a list; faces or speech
    people      what a table says of them
    matching    speech: which estimate belongs to which reference
    faces       whose face is whose, and the gallery
    measuring   with what they are measured
    alignment   how late an estimate is
    scoring     all of it: what is measured already is kept
    report      tables and pictures of it
"""
