"""The preprocessing of the papers, as steps over a folder of files: `data prepare`.

    step           what a step is: which files it takes, what it makes of one
    steps          the steps by name
    worklist       the files of a folder or of a dataset, and what each is to become
    record         prepared.jsonl: what was made of what, with which settings
    work           files -> products, in parallel, resumed after a kill
    geometry       similarities that bring pupils to fixed places; how far a face is turned aside
    faces          crops of faces from pictures and videos
    portraits      HQ-VoxCeleb's alignment, rules and white background (SF2F, Appendix B)
    segmenters     persons told from their background
    expressions    whether a face looks neutral
    onnx_networks  networks that the user gives as files
    mouths         crops of mouths
    speech         pauses taken out; log-mel energies
    enhancing      noise taken out by any method of enhancement
    sheets         pictures before and after

What was made of a file is kept until the file, the step or its settings change. Nothing is ever written into the
folder that is read.
"""
