"""Study files that nobody should write: each is refused in one message, or is a study after all; never a traceback."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ..typed import Ganbench
from .malformed import KINDS, Malformed, corpus, sources
from .refusals import everything, problem

STUDY = "mine.toml"


def judged(case: Malformed, ganbench: Ganbench, folder: Path) -> tuple[str, str]:
    """Plan a spoiled study: say whether it is refused or valid after all, and what is wrong with that."""
    (folder / STUDY).write_bytes(case.content)
    before = everything(folder)
    said = ganbench("run", STUDY, "--dry-run", "--scale", "smoke")
    wrong = "" if everything(folder) == before else "something was written"
    if said.code == 0:
        return "valid", wrong or (f"accepted: {said}" if case.hopeless else "")
    return "refused", wrong or problem(said, STUDY)


def judge(cases: list[Malformed], ganbench: Ganbench, folder: Path) -> Counter[tuple[str, str]]:
    """Plan spoiled studies, and count by kind what came of them."""
    counts, wrong = Counter[tuple[str, str]](), list[str]()
    for case in cases:
        answer, why = judged(case, ganbench, folder)
        counts[case.kind, answer] += 1
        wrong += [f"{case.kind}: {case.what}: {why}"] if why else []
    assert not wrong, "\n".join(wrong)
    return counts


def test_spoiled_studies_are_refused_in_one_message(ganbench: Ganbench, tmp_path: Path) -> None:
    counts = judge(corpus(5 * len(KINDS), seed=1), ganbench, tmp_path)
    assert {kind for kind, _ in counts} == set(KINDS)
    answers = Counter(
        {answer: sum(n for (_, a), n in counts.items() if a == answer) for answer in ("valid", "refused")}
    )
    assert answers["refused"] > answers["valid"] > 0  # what is harmless is recognised


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(1, 4))
def test_hundreds_of_spoiled_studies_are_refused_in_one_message(seed: int, ganbench: Ganbench, tmp_path: Path) -> None:
    counts = judge(corpus(30 * len(KINDS), seed), ganbench, tmp_path)
    for kind in KINDS:
        print(f"{kind}: {counts[kind, 'refused']} refused, {counts[kind, 'valid']} valid")


def test_the_good_studies_are_valid(ganbench: Ganbench, tmp_path: Path) -> None:
    # Else the corpus would show nothing.
    for path in sources():
        for mark in (b"", b"\xef\xbb\xbf"):  # of the encoding, as an editor for Windows writes
            case = Malformed("none", path.name, mark + path.read_bytes(), hopeless=False)
            assert judged(case, ganbench, tmp_path) == ("valid", "")


def test_the_corpus_is_the_same_again() -> None:
    random.seed(1)
    once = corpus(len(KINDS), seed=7)
    random.seed(2)
    assert corpus(len(KINDS), seed=7) == once


def good() -> bytes:
    return sources()[-1].read_bytes()


def _is_good(path: Path) -> None:
    path.write_bytes(good())


def _is_enormous(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room


NO_STUDIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe.toml": (lambda path: os.mkfifo(path), "pipe.toml: no regular file"),
    "device.toml": (lambda path: path.symlink_to("/dev/zero"), "device.toml: no regular file"),
    "folder.toml": (Path.mkdir, "folder.toml: a folder"),
    "dangling.toml": (lambda path: path.symlink_to("nowhere.toml"), "dangling.toml: no such file"),
    "loop.toml": (lambda path: path.symlink_to("loop.toml"), "loop.toml: cannot be read"),
    "none.toml": (lambda _: None, "none.toml: no such file"),
    "file/x.toml": (lambda path: path.parent.touch(), "file/x.toml: cannot be read"),
    "folder/x.toml": (lambda path: path.parent.mkdir(), "x.toml: no such file"),
    f"{'a' * 300}.toml": (lambda _: None, "cannot be read"),
    "enormous.toml": (_is_enormous, "enormous.toml: 1,000,000,000,000 bytes"),
    # Names that no study can have; the first would be run in the folder above `runs`.
    **dict.fromkeys(
        [f"{name}.toml" for name in ("..", "all", "published", "a b", "a.b", "\x1b[31mred", "tab\t", "\udce9")],
        (_is_good, r"\.toml: (expected a name|a word of ganbench's own)"),
    ),
    # And no files at all.
    **dict.fromkeys(
        ("", ".", "/", "-", ".toml", "a/b", "\x1b[2J", "x" * 100_000, "gausian"), (lambda _: None, "no such study")
    ),
}


@pytest.mark.parametrize("given", NO_STUDIES, ids=lambda given: repr(given)[:24])
def test_what_is_no_study_is_refused(given: str, ganbench: Ganbench, tmp_path: Path) -> None:
    make, why = NO_STUDIES[given]
    make(tmp_path / given)
    assert not problem(ganbench("run", "--dry-run", "--", given), why)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_study_that_may_not_be_read_is_refused(ganbench: Ganbench, tmp_path: Path) -> None:
    (tmp_path / STUDY).write_bytes(good())
    (tmp_path / STUDY).chmod(0)
    assert not problem(ganbench("run", STUDY, "--dry-run"), STUDY, "Permission denied")


def test_who_forgets_the_ending_is_told_of_the_file(ganbench: Ganbench, tmp_path: Path) -> None:
    (tmp_path / STUDY).write_bytes(good())
    assert not problem(ganbench("run", "mine", "--dry-run"), "mine: no such study; did you mean the file mine.toml")


@pytest.mark.faults
def test_a_search_of_more_than_can_be_tried_is_refused(ganbench: Ganbench, tmp_path: Path) -> None:
    text = good().decode() + "\n[tune]\nfailed = 1.0\ntrials = 4\nseeds = 2\nbatch = 2\n"
    wide = f"latent_dim = {{ choices = {list(range(1, 1000))} }}\n"
    wide += f"discriminator_channels = {{ choices = {[[i] for i in range(1, 1000)]} }}\n"
    whole = "lr = { low = 1e-4, high = 1e-2, points = 10_000 }\nbeta1 = { low = 0.0, high = 0.9, points = 99 }\n"
    many = text.replace("trials = 4", "trials = 900_000")
    cases = {
        f"{text}[tune.space]\n{wide}": "tune.space: more than 200,000 combinations",
        f'{text}sampler = "grid"\n[tune.space]\n{whole}': "tune.space: more than 100,000 points",
        f"{text}[tune.space]\nlr = {{ low = 1e-4, high = 1e-2, points = 1_000_000_000_000 }}": "tune.space.lr.points",
        f"{text}[tune.space]\ngenerator_hidden = {{ choices = [[8], [99_999, 99_999]] }}": "tune.space: .*weights",
        f"{text}[tune.space]\nbatch_size = {{ low = 2, high = 1_000_000_000_000 }}": "tune.space.batch_size.high",
        f"{many}[tune.space]\nlr = {{ low = 1e-4, high = 1e-2 }}": "tune.trials: ",
    }
    for content, place in cases.items():
        (tmp_path / STUDY).write_text(content)
        assert not problem(ganbench("tune", STUDY, "--dry-run"), f"{STUDY}: ", place)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("seeds = 16", "seeds = 99_999", "scales.laptop.seeds: 1,199,988 replicas"),
        ("evaluations = 10 ", "evaluations = 1_000_000_000", "scoring.evaluations"),
        ("batch_size = 128", "batch_size = 900_000", "batch_size: .* numbers"),
        ("batch_size = 128", "batch_size = 1_000_001", "base.batch_size"),
        ("latent_dim = 20", "latent_dim = 1_000_000_000", "base.latent_dim"),
        ("generator_hidden = [32, 32]", "generator_hidden = [90_000, 90_000]", "generator_hidden.* weights"),
        ("generator_hidden = [32, 32]", f"generator_hidden = {[8] * 200}", "base.generator_hidden"),
        ("critic_steps = 1 ", "critic_steps = 1_000_000_000", "base.critic_steps"),
        ("modes = 8\n", "modes = 1_000_000_000\n", "target: .*modes"),
        ("spacing = 2.0", "spacing = 1e300", "target: .*spacing"),
        ("reached = { modes = 8 }", "reached = { modes = nan }", "report.reached.modes"),
    ],
)
def test_more_than_a_machine_holds_is_refused_before_anything_is_made(
    old: str, new: str, place: str, ganbench: Ganbench, tmp_path: Path
) -> None:
    text = good().decode().replace("discriminator_hidden = [32, 64, 32]", "discriminator_hidden = [32, 2_000, 32]")
    text = text.replace("lr_ratio = [0.5, 1.0, 2.0]", "lr_ratio = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]")
    assert old in text
    (tmp_path / STUDY).write_text(text.replace(old, new, 1))
    assert not problem(ganbench("run", STUDY, "--dry-run"), f"{STUDY}: ", place)
