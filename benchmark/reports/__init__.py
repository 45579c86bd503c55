"""Tables, figures and contact sheets: pure functions of results.

    run_report    the folder report/ of a run, written part by part (`parts`)
    sound_report  what it has for speech: by noise and SNR, sounds to listen to; `spectrograms` of them
    tables        a run's table as Markdown, CSV and LaTeX
    fitted        the same on a terminal, in the columns that fit (`columns`)
    best          which rows share first place
    groups        numbers over groups, as text and as a picture
    plots, sheets, confusions   pictures: recall over K, faces beside the true ones, what a judge takes for what
    figures       the house style of pictures
    escaping      foreign text made safe for what it is printed into

Results and the folders of runs come in, text and pictures go out; nothing is measured here.
"""
