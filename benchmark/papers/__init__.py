"""The papers' tables and figures beside what is measured here: `table` and `figure`.

    reported  what the papers print, read from leaderboards/papers/*.toml
    needs     which run measures a printed number, and where it lies; `making` makes those that lack
    beside    a table with both numbers in each place; `ranking` compares the two orders of rows
    tables    that table as Markdown, CSV, LaTeX or JSON
    groups    the same over groups of people or recordings
    figures   the figures by name, drawn in sf2f_figures, ddpm_figures, avp_gan_figures, flowavse_figures and
              lipdiffuser_figures

Printed numbers come from `reported`, measured ones from finished results, which `needs` finds.
"""
