"""`doctor`: is this machine ready, and what is missing."""

from __future__ import annotations

from benchmark.cli import options


def doctor(as_json: options.Json = False) -> None:
    """Check packages, carried networks, espeak-ng, device, disk and weights; prints what to do about each lack.

    \b
    python -m benchmark doctor
    """
    from benchmark.cli.console import print_json, print_table
    from benchmark.diagnosis import examine

    findings = examine()
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(["", "what", "found", "to do"], [[f.state, f.what, f.found, f.remedy] for f in findings])
    if any(finding.state == "lacks" for finding in findings):
        import typer

        raise typer.Exit(1)
