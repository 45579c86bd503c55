"""A program of another project as a method: what it is given, what is made of what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT
from PIL import Image
from test_evaluation import finish, pool_of
from test_outputs import outputs_plan

from baselines.outputs.command import SEEDS, read_program
from benchmark.errors import InvalidConfig, PrerequisiteError
from benchmark.media import read_audio, read_image, read_video, write_audio, write_image
from benchmark.media.face_video import FPS
from benchmark.runs.evaluation import evaluate, gathered, plan_method, protocol_for
from benchmark.tasks import get_task
from benchmark.types import Audio, Example, FaceVideo, Sample

READ = """
    import csv, os, struct, sys, time, wave, zlib

    def draw(path, level):
        "A grey PNG of one pixel, from nothing but the standard library."
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        data = chunk(b"IDAT", zlib.compress(bytes([0, level])))
        open(path, "wb").write(b"\\x89PNG\\r\\n\\x1a\\n" + head + data + chunk(b"IEND", b""))

    def heard(path):
        "The number of the tone that somebody of the tiny corpus speaks in."
        data = open(path, "rb").read()
        samples = struct.unpack("<4000f", data[-16_000:])
        crossings = sum((a < 0) != (b < 0) for a, b in zip(samples, samples[1:]))
        number = round((crossings * 2 - 100) / 20)
        if number in BAD:
            os.kill(os.getpid(), 11)
        return number

    BAD = ()
"""
ONE = READ + "    _, speech, output, *_ = sys.argv\n    draw(output, 10 + 20 * heard(speech))\n"
LIST = (
    READ
    + "    for row in csv.DictReader(open(sys.argv[1])):\n        draw(row['output'], 10 + 20 * heard(row['speech']))\n"
)
FOLDERS = READ + (
    "    for name in sorted(os.listdir(sys.argv[1])):\n"
    "        level = 10 + 20 * heard(os.path.join(sys.argv[1], name))\n"
    "        draw(os.path.join(sys.argv[2], name[:-4] + '_face.png'), level)\n"
)


def system(folder: Path, script: str, words: str = '"{speech}", "{output}"', **keys: object) -> Path:
    """A folder with a program in Python, and the TOML file that says how it is called."""
    folder.mkdir(exist_ok=True)
    (folder / "infer.py").write_text(textwrap.dedent(script))
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if key != "environment"]
    lines += ["[environment]", *(f"{k} = {json.dumps(v)}" for k, v in keys.get("environment", {}).items())]
    (folder / "system.toml").write_text(f'command = ["{sys.executable}", "infer.py", {words}]\n' + "\n".join(lines))
    return folder / "system.toml"


def made(corpus, toml: Path, runs: Path, **more):
    plan = outputs_plan(corpus, toml, runs, key="command", **more)
    evaluate(plan, None)
    return plan, plan.run.predictions()


def level(plan, row) -> int:
    return int(read_image(plan.run.path / row.file).mean())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (ONE, '"{speech}", "{output}"'),
        (ONE, '"{input}", "{output}", "{sample}", "{repeat}", "{seed}", "{device}", "{{x}}"'),
        (LIST, '"{list}"'),
        (FOLDERS, '"{speech_folder}", "{output_folder}"'),
        (FOLDERS, '"{input_folder}", "{output_folder}", "--device={device}"'),
    ],
)
def test_each_form_gives_every_sample_its_own_output(tiny_corpus, tmp_path, script, words):
    plan, rows = made(tiny_corpus, system(tmp_path / "it", script, words), tmp_path / "runs", repeats=2)
    assert {row.status for row in rows.values()} == {"ok"} and len(rows) == 24
    assert {key: level(plan, row) for key, row in rows.items()} == {
        (f"p{number:02d}", repeat): 10 + 20 * number for number in range(12) for repeat in range(2)
    }
    assert finish(plan, pool_of(tiny_corpus)).aggregate("brightness_error").value == 0


def test_inputs_are_written_as_a_method_of_this_project_gets_them(tiny_corpus, tmp_path):
    script = "import json, shutil, sys\njson.dump(sys.argv[2:], open('given.json', 'w'))\n"
    script += "shutil.copytree(sys.argv[2], 'kept')\nopen(sys.argv[1], 'w').write('x')\n"
    toml = system(tmp_path / "it", script, '"{output}", "{video_frames}", "{noisy}", "{video}", "{seed}"')
    program = read_program(toml, get_task("av_enhancement"))
    assert program.hears == ("noisy", "video")
    random = np.random.default_rng(0)
    noisy = Audio(random.normal(0, 2, 900).astype(np.float32), 16_000)
    video = FaceVideo(random.integers(0, 255, (3, 112, 112), np.uint8))
    sample = Sample("a/b c", "a", {})
    runner = program.started("cpu")
    keep = "shutil.copy(sys.argv[3], 'noisy.wav'); shutil.copy(sys.argv[4], 'video.mkv')\n"
    (tmp_path / "it" / "infer.py").write_text(script + keep)
    (output,) = runner.outputs([Example(sample, 0, 2**40 + 5, {"noisy": noisy, "video": video})])
    runner.close()
    assert isinstance(output, Exception) and "output {output}: not a wav" in str(output), "an x is no sound"
    frames, _, _, seed = json.loads((tmp_path / "it" / "given.json").read_text())
    assert int(seed) == (2**40 + 5) % SEEDS and not Path(frames).exists()
    assert np.array_equal(read_audio(tmp_path / "it" / "noisy.wav", None).samples, noisy.samples)
    shown = read_video(tmp_path / "it" / "video.mkv", FPS)
    assert np.array_equal(shown[..., 0], video.frames)
    pictures = sorted((tmp_path / "it" / "kept").iterdir())
    assert [
        np.array_equal(np.array(Image.open(file)), frame) for file, frame in zip(pictures, video.frames, strict=True)
    ]
    assert len(pictures) == 3


@pytest.mark.parametrize(
    ("words", "hears", "enrolment"),
    [
        ('"{mouth}", "{output}"', ("mouth",), None),
        ('"{mouth_frames}", "{enrolment}", "{output}"', ("mouth", "enrolment"), "other"),
        ('"{list}"', None, "other"),
    ],
)
def test_what_is_not_named_is_not_asked_for(tmp_path, words, hears, enrolment):
    lips, toml = get_task("lip2speech"), system(tmp_path / "it", "", words)
    plan = gathered(plan_method("outputs", sets=[f"command={toml}"]), lips, ())
    assert (plan.hears, protocol_for(plan, lips).enrolment) == (hears, enrolment)


def test_it_runs_in_its_own_environment_and_directory_without_a_shell(tiny_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("KEPT", "yes")
    script = READ + (
        "    assert 'PYTHONPATH' not in os.environ and os.environ['KEPT'] == 'yes' and os.environ['MINE'] == '$HOME'\n"
        "    assert os.path.basename(os.getcwd()) == 'below' and not sys.stdin.read()\n"
        "    assert sys.argv[2] == '; echo $HOME `id` > x'\n"
        "    draw(sys.argv[1], 7)\n"
    )
    toml = system(tmp_path / "it", script, directory="below", environment={"MINE": "$HOME"})
    (tmp_path / "it" / "below").mkdir()
    words = json.dumps([sys.executable, "../infer.py", "{output}", "; echo $HOME `id` > x"])
    toml.write_text(re.sub("command = .*", lambda _: f"command = {words}", toml.read_text()))
    plan, rows = made(tiny_corpus, toml, tmp_path / "runs")
    assert {level(plan, row) for row in rows.values()} == {7}, next(iter(rows.values())).reason


def test_a_status_and_the_end_of_what_was_printed_stay_with_the_row(tiny_corpus, tmp_path):
    script = ONE.replace(
        "    draw(output", "    heard(speech) == 3 and (print('x' * 9000), sys.exit('no face at all'))\n    draw(output"
    )
    plan, rows = made(tiny_corpus, system(tmp_path / "it", script), tmp_path / "runs")
    (bad,) = [row for row in rows.values() if row.status != "ok"]
    assert bad.sample == "p03" and bad.reason == "the command ended with status 1: no face at all"
    text = (plan.run.path / bad.traceback).read_text()
    assert "infer.py" in text and "ended with status 1" in text and text.endswith("no face at all\n")


@pytest.mark.parametrize(("script", "words"), [(LIST, '"{list}"'), (FOLDERS, '"{speech_folder}", "{output_folder}"')])
@pytest.mark.parametrize("bad", [(0,), (3,), (11,), (2, 3), (0, 1, 7)])
def test_one_input_costs_no_other_of_its_batch_its_output(tiny_corpus, tmp_path, script, words, bad):
    script = script.replace("BAD = ()", f"BAD = {bad}")
    _, rows = made(tiny_corpus, system(tmp_path / "it", script, words), tmp_path / "runs", batch_size=12)
    failed = {key[0]: row.reason for key, row in rows.items() if row.status != "ok"}
    if bad == (0, 1, 7):  # two calls in a row made nothing: nobody knows that others would
        assert len(failed) == 12
        return
    assert set(failed) == {f"p{number:02d}" for number in bad}
    assert set(failed.values()) == {"the command was killed by signal 11"}


def test_a_program_that_makes_nothing_is_not_started_for_each(tiny_corpus, tmp_path):
    script = "open('calls', 'a').write('x')\nraise SystemExit('no weights')\n"
    _, rows = made(tiny_corpus, system(tmp_path / "it", script, '"{list}"'), tmp_path / "runs", batch_size=12)
    assert {row.reason for row in rows.values()} == {"the command ended with status 1 before this output: no weights"}
    assert (tmp_path / "it" / "calls").read_text() == "xx"


def test_an_output_of_another_name_or_none_is_told(tiny_corpus, tmp_path):
    other = ONE.replace("draw(output,", "draw(os.path.join(os.path.dirname(output), 'face.png'),")
    _, rows = made(tiny_corpus, system(tmp_path / "it", other), tmp_path / "runs")
    told = "the command ended with status 0 without the output {output} (it wrote face.png)"
    assert {row.reason for row in rows.values()} == {told}, "one cause is one reason"
    _, rows = made(tiny_corpus, system(tmp_path / "two", "pass\n"), tmp_path / "runs")
    assert {row.reason for row in rows.values()} == {
        "the command ended with status 0 without the output {output} (it wrote nothing there)"
    }
    _, rows = made(
        tiny_corpus, system(tmp_path / "three", "import sys; open(sys.argv[2], 'w').write('x')"), tmp_path / "r"
    )
    (told,) = {row.reason for row in rows.values()}
    assert told.startswith("the command's output {output}: not a readable picture")
    said = "import sys; sys.exit(f'cannot read {sys.argv[1]}')"
    _, rows = made(tiny_corpus, system(tmp_path / "four", said), tmp_path / "r")
    assert {row.reason for row in rows.values()} == {"the command ended with status 1: cannot read {speech}"}


@pytest.mark.parametrize("words", ['"{list}"', '"{speech_folder}", "{output_folder}"'])
def test_of_a_batch_one_cause_is_one_reason(tiny_corpus, tmp_path, words):
    _, rows = made(tiny_corpus, system(tmp_path / "it", "pass\n", words), tmp_path / "runs", batch_size=12)
    assert {row.reason for row in rows.values()} == {
        "the command ended with status 0 without the output output/NAME.png (it wrote nothing there)"
    }


def test_a_script_that_is_not_there_is_told_before_anything_is_made(tmp_path):
    toml = system(tmp_path / "it", "pass\n")
    (tmp_path / "it" / "infer.py").unlink()
    with pytest.raises(PrerequisiteError, match=rf"infer\.py is not there: looked for {tmp_path}/it/infer\.py"):
        read_program(toml, get_task("speech2face"))


def test_the_time_limit_ends_the_program_and_all_that_it_started(tiny_corpus, tmp_path):
    script = """
        import subprocess, sys, time
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", deaf])
        print("child", child.pid, flush=True)
        open("pid", "w").write(str(child.pid))
        time.sleep(600)
    """
    toml = system(tmp_path / "it", script, limit_s=1.5)
    plan = outputs_plan(tiny_corpus, toml, tmp_path / "runs", key="command")
    evaluate(replace(plan, limit=1), None)
    (row,) = plan.run.predictions().values()
    assert row.reason.startswith("the command was ended after 1.5 s, its time limit (limit_s): child ")
    assert gone(int((tmp_path / "it" / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether a process has ended, a moment later at most; its parent may not have asked for its end yet."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("request_to_end", "deaf", "code", "words_of_it"),
    [
        (signal.SIGINT, False, 130, "Interrupted."),
        (signal.SIGTERM, True, 143, "SIGTERM."),  # a background job of a shell, which no Ctrl-C reaches
    ],
)
def test_an_interrupt_ends_the_program_and_the_run_goes_on_later(tmp_path, request_to_end, deaf, code, words_of_it):
    """The command line itself, as Ctrl-C, `kill` and schedulers meet it."""
    for number, name in enumerate(("anna", "bo", "cleo")):
        write_audio(tmp_path / "people" / name / "a.wav", Audio(np.full(16_000, 0.1, np.float32), 16_000))
        write_image(tmp_path / "people" / name / "f.png", np.full((8, 8, 3), 60 * number, np.uint8))
    script = READ + (
        "    if sys.argv[2] == 'bo' and not os.path.exists('second'):\n"
        "        open('second', 'w').write(str(os.getpid()))\n        time.sleep(600)\n"
        "    draw(sys.argv[1], 7)\n"
    )
    toml = system(tmp_path / "it", script, '"{output}", "{sample}"')
    words = ["generate", "-m", "outputs", "--set", f"command={toml}", "--dataset", "folder", "--data-root"]
    words += [tmp_path / "people", "--runs", tmp_path / "runs", "--repeats", 1, "--batch-size", 1, "--json"]
    line = [sys.executable, "-m", "benchmark", *map(str, words)]
    # A shell has its background jobs ignore interrupts, which a child inherits.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    signal.signal(signal.SIGINT, before)
    mark = tmp_path / "it" / "second"
    for _ in range(1200):
        if mark.exists() and mark.read_text():
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(request_to_end)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code and f"{words_of_it} What was finished is kept" in told
    assert gone(int(mark.read_text()))
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made"] == 3


# -- identity ----------------------------------------------------------------------------------------------------------


def identity(toml: Path) -> str:
    return read_program(toml, get_task("speech2face")).sha256


def test_the_identity_is_of_the_command_and_of_the_files_that_it_names(tmp_path):
    toml = system(tmp_path / "it", ONE)
    before = identity(toml)
    assert identity(system(tmp_path / "other", ONE)) == before, "where it lies changes nothing"
    assert identity(system(tmp_path / "it", ONE, limit_s=5)) == before, "nor does a time limit"
    assert identity(system(tmp_path / "it", ONE, environment={"A": "1"})) != before
    assert identity(system(tmp_path / "it", ONE + "\n    pass")) != before
    assert identity(system(tmp_path / "it", ONE, '"{speech}", "{output}", "--fast"')) != before
    (tmp_path / "it" / "w.pt").write_text("1")
    named = [
        identity(system(tmp_path / "it", ONE, f'"{{speech}}", "{{output}}", {how}')) for how in ('"w.pt"', '"-w=w.pt"')
    ]
    listed = identity(system(tmp_path / "it", ONE, files=["*.pt"]))
    (tmp_path / "it" / "w.pt").write_text("2")
    again = [
        identity(system(tmp_path / "it", ONE, f'"{{speech}}", "{{output}}", {how}')) for how in ('"w.pt"', '"-w=w.pt"')
    ]
    assert all(a != b for a, b in zip(named, again, strict=True))
    assert identity(system(tmp_path / "it", ONE, files=["*.pt"])) != listed


# -- what is no program ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("command = 3", "command is 3; expected a list of words"),
        ('command = "python infer.py {output}"', "expected a list of words.*does not go through a shell"),
        ("command = []", "expected a list of words"),
        ("", "command is None"),
        ('comand = ["x"]', "unknown key 'comand'. Did you mean 'command'"),
        ('command = ["sh", "{output}"]\nlimit_s = 0', "limit_s is 0; expected seconds above 0"),
        ('command = ["sh", "{output}"]\nlimit_s = true', "limit_s is True"),
        ('command = ["sh", "{output}"]\nfiles = "x"', "files is 'x'; expected a list"),
        ('command = ["sh", "{output}"]\nenvironment = {A = 1}', "environment is .*expected names with texts"),
        ('command = ["sh", "{outpt}"]', "{outpt} is no placeholder of speech2face. Did you mean 'output'"),
        ('command = ["sh", "{noisy}", "{output}"]', "{noisy} is no placeholder of speech2face"),
        ('command = ["sh", "{speech}"]', "got none"),
        ('command = ["sh", "{output}", "{list}"]', "got {output} and {list}"),
        ('command = ["sh", "{speech}", "{output_folder}"]', "{speech} cannot stand beside {output_folder}"),
        ('command = ["sh", "{seed}", "{list}"]', "{seed} cannot stand beside {list}"),
        ("command = [", "expected a TOML file"),
    ],
)
def test_a_file_that_says_nothing_of_use_is_told(tmp_path, text, words):
    (tmp_path / "system.toml").write_text(text)
    with pytest.raises(InvalidConfig, match=words):
        read_program(tmp_path / "system.toml", get_task("speech2face"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'command = ["no_such_program_at_all", "{output}"]',
            "there is no program 'no_such_program_at_all' on the PATH",
        ),
        ('command = ["bin/mine", "{output}"]', "its program .*bin/mine is not there"),
        ('command = ["sh", "{output}"]\ndirectory = "gone"', "its directory .*gone is not there"),
        ('command = ["sh", "{output}"]\nfiles = ["*.pt"]', r"no file is called \*.pt"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, text, words):
    (tmp_path / "system.toml").write_text(text)
    with pytest.raises(PrerequisiteError, match=words):
        read_program(tmp_path / "system.toml", get_task("speech2face"))


def test_a_program_that_cannot_be_started_ends_the_run(tiny_corpus, tmp_path):
    toml = system(tmp_path / "it", ONE)
    (tmp_path / "it" / "mine").write_bytes(b"\x7fELF nothing")
    (tmp_path / "it" / "mine").chmod(0o755)
    toml.write_text('command = ["./mine", "{output}"]')
    with pytest.raises(PrerequisiteError, match="mine cannot be started"):
        made(tiny_corpus, toml, tmp_path / "runs")
