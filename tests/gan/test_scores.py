"""Scores: they equal their definitions, see what they should see, and know what real data score."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Tensor

from gan.errors import InputError
from gan.plugins import registry
from gan.scores import Score, sample_sizes, scores_of, spans_decades
from gan.scores.contract import Players, Samples
from gan.scores.coverage import class_coverage, mixture_coverage, perfect_mixture
from gan.scores.images import fid_name
from gan.scores.line import LineReference, bins_covered, ks, ks_floor
from gan.scores.quality import REFERENCES
from gan.scores.real_images import ImageReference
from gan.scores.scorer import Scorer, make_scorer
from gan.targets import Gaussian, Images, Mixture, make_target
from gan.targets.images import ImageData

DATA_DIR = Path(os.environ.get("GAN_DATA_DIR", "data"))


def drawn(target: Gaussian | Mixture, n: int = 10_000, seed: int = 0) -> Tensor:
    return target.sample((n,), torch.Generator().manual_seed(seed))


def values(target: Gaussian | Mixture, n: int = 10_000, seed: int = 0) -> np.ndarray:
    return drawn(target, n, seed).double().flatten().numpy()


def test_naming_scores_imports_no_torch() -> None:
    code = (
        "import sys, gan.scores as s, gan.targets as t\n"
        "from gan.plugins import registry\n"
        "for n in registry.names('target'): s.scores_of(t.make_target(n)), s.scoring_digest(t.make_target(n))\n"
        "assert not {'torch', 'scipy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("name", registry.names("target"))
def test_every_target_has_scores_of_its_own(name: str) -> None:
    scores = scores_of(make_target(name))
    names = [score.name for score in scores]
    assert len(set(names)) == len(names)
    assert all(isinstance(score, Score) and score.label and (score.final or score.curve) for score in scores)


def test_fid_is_named_by_its_size() -> None:
    assert [fid_name(n) for n in (10_000, 2_000, 500)] == ["fid_10k", "fid_2k", "fid_500"]


# The real line


@pytest.mark.parametrize("target", [Gaussian(), Mixture()], ids=lambda t: t.name)
def test_ks_equals_scipys_on_the_transformed_uniform(target: Gaussian | Mixture) -> None:
    samples = Samples(drawn(target, 3_000) + 0.1)
    expected = stats.kstest(target.cdf(samples.values), "uniform").statistic
    assert ks(samples, LineReference(target)) == pytest.approx(expected, rel=1e-12)


def test_ks_floor_is_the_mean_of_true_samples() -> None:
    reference = LineReference(Gaussian())
    found = [ks(Samples(reference.draw(1_000, seed)), reference) for seed in range(300)]
    # The statistic's standard deviation is 0.26 / sqrt(n); the limit is 1 to 2 % above the mean at n = 1,000.
    assert np.mean(found) == pytest.approx(ks_floor(reference, 1_000), rel=0.05)
    assert ks_floor(reference, 1) == pytest.approx(0.8687, abs=1e-4)


def test_a_dropped_half_is_seen_in_bins_and_ks() -> None:
    target = Gaussian()
    half = Samples((drawn(target) - target.mean).abs() + target.mean)
    reference = LineReference(target)
    assert bins_covered(half, reference) == pytest.approx(0.5)
    assert ks(half, reference) == pytest.approx(0.5, abs=0.01)
    assert bins_covered(Samples(torch.full((10_000, 1), 3.1)), reference) == pytest.approx(0.01)


def test_a_bin_is_covered_at_a_tenth_of_its_expected_count() -> None:
    target = Gaussian()
    centre = float(target.quantile(0.505))
    for inside, covered in ((10, 2), (9, 1)):
        samples = np.r_[np.full(inside, centre), np.full(10_000 - inside, float(target.quantile(0.985)))]
        found = bins_covered(Samples(torch.from_numpy(samples)[:, None]), LineReference(target))
        assert found == pytest.approx(covered / 100)


@pytest.mark.parametrize("target", [Gaussian(), Mixture()], ids=lambda t: t.name)
def test_true_samples_score_their_references(target: Gaussian | Mixture) -> None:
    scorer = make_scorer(target, Path("nowhere"), "cpu")
    references = scorer.references()
    samples = [drawn(target, 100_000, seed=100 + seed) for seed in range(5)]
    found = [scorer.final(x) | scorer.curve(x[:10_000]) for x in samples]
    assert all(scores["bins_covered"] == 1 for scores in found)
    assert list(references) == [score.name for score in scores_of(target)]
    assert set(found[0]) == set(references) - {"d_gap", "d_excess"}  # of a discriminator, and there is none here
    slacks = {"ks": 0.006, "hq_share": 0.002, "mode_kl": 5e-4, "jsd_10k": 2e-4, "jsd_100k": 4e-5, "diversity": 0.03}
    for name, reference in references.items():
        if name in ("d_gap", "d_excess"):
            continue
        slack = slacks.get(name, 0.3 * reference["floor"] if name == "sliced_wasserstein" else 0)
        assert np.mean([scores[name] for scores in found]) == pytest.approx(reference["floor"], abs=slack)
        assert (reference["n"], reference["noise"]) == (100_000 if name == "jsd_100k" else 10_000, None)


def test_dropped_modes_are_counted_exactly() -> None:
    target = Mixture()
    samples = values(target)
    nearest = np.abs(samples[:, None] - target.centres).argmin(1)
    for kept in (1, 3, 7, 8):
        found = mixture_coverage(samples[nearest < kept], target.centres, target.std)
        assert found.modes == found.modes_any == kept
        assert found.mode_kl == pytest.approx(math.log(8 / kept), abs=0.01)
        assert found.hq_share == pytest.approx(0.9973, abs=0.002)


def test_a_mode_needs_a_tenth_of_its_share_and_in_the_literature_one_sample() -> None:
    target = Mixture(modes=3, spacing=4, std=0.5)
    samples = np.r_[np.full(97, -4.0), 1.5, 5.51, 2.0]
    found = mixture_coverage(samples, target.centres, target.std)
    assert (found.modes, found.modes_any, found.hq_share) == (1, 2, pytest.approx(0.98))
    covered = mixture_coverage(np.r_[samples, np.full(4, 0.1)], target.centres, target.std)
    assert covered.modes == 2  # four of 104 samples, where a tenth of a third is 3.5
    nothing = mixture_coverage(np.full(10, 2.0), target.centres, target.std)
    assert (nothing.modes, nothing.hq_share, nothing.mode_kl) == (0, 0, pytest.approx(math.log(3)))
    with pytest.raises(ValueError, match="generated samples: 0; expected at least 1"):
        mixture_coverage(np.empty(0), target.centres, target.std)


def test_mode_kl_floor_is_the_mean_of_true_samples() -> None:
    target = Mixture()
    found = [mixture_coverage(values(target, 2_000, s), target.centres, target.std).mode_kl for s in range(200)]
    assert np.mean(found) == pytest.approx(perfect_mixture(8, 2_000).mode_kl, rel=0.15)


# The contract


def shifted(samples: Samples, reference: LineReference) -> float:
    """A score that changes whatever it is given."""
    samples.tensor.zero_()
    reference.real.zero_()
    return float(samples.tensor.mean())


SHIFTED = Score("shifted", "Mean", "higher", shifted, log=True, needs=frozenset({"line"}))


def test_what_a_score_does_to_its_samples_stays_its_own_business() -> None:
    target, reference = Gaussian(), LineReference(Gaussian())
    scores = (SHIFTED, *scores_of(target))
    samples, before = drawn(target, 100_000), reference.real
    kept = samples.clone()
    found = Scorer(scores, reference, 10_000, 100_000).final(samples)
    alone = make_scorer(target, Path("nowhere")).final(samples)
    assert {name: found[name] for name in alone} == alone and found["shifted"] == float(kept[:10_000].mean())
    assert torch.equal(samples, kept) and torch.equal(reference.real, before)
    with pytest.raises(ValueError, match="read-only"):
        Samples(samples).values[0] = 0.0


def test_scores_share_what_is_worked_out_once() -> None:
    made: list[Samples] = []

    def square(samples: Samples) -> float:
        made.append(samples)
        return float((samples.values**2).mean())

    scores = [replace(SHIFTED, name=name, measure=lambda samples, _: samples.once(square)) for name in ("one", "two")]
    found = Scorer(scores, LineReference(Gaussian()), 10_000, 10_000).final(drawn(Gaussian()))
    assert found["one"] == found["two"] and len(made) == 1


def test_a_score_of_the_players_is_taken_where_they_are_given() -> None:
    scorer = make_scorer(Gaussian(), Path("nowhere"))
    samples = drawn(Gaussian(), 100_000)
    half = Players(lambda x: np.full_like(x, 0.5))
    assert set(scorer.final(samples, half)) - set(scorer.final(samples)) == {"d_excess"}
    known = Players(half.discriminator, Gaussian())
    assert set(scorer.final(samples, known)) - set(scorer.final(samples)) == {"d_excess", "d_gap"}


def test_the_floor_is_measured_or_given_or_none() -> None:
    measured = replace(SHIFTED, measure=lambda samples, _: float(samples.tensor.double().mean()))
    floors = {
        "measured": measured,
        "given": replace(measured, floor=lambda _, n: n),
        "none": replace(measured, floor="none"),
    }
    reference = LineReference(Gaussian())
    scorer = Scorer([replace(s, name=name) for name, s in floors.items()], reference, 10_000, 100_000)
    found = {name: row["floor"] for name, row in scorer.references().items()}
    assert found["measured"] == statistics.fmean(float(draw.double().mean()) for draw in reference.draws(10_000))
    assert (found["given"], found["none"]) == (10_000, None)


def test_references_say_of_a_plugin_s_score_alone_that_it_is_logarithmic() -> None:
    scorer = Scorer((SHIFTED, *scores_of(Gaussian())), LineReference(Gaussian()), 10_000, 100_000)
    references = scorer.references()
    assert [name for name, row in references.items() if "log" in row] == ["shifted"]
    assert [name for name, row in references.items() if not spans_decades(name, "log" in row)] == [
        "bins_covered",
        "d_excess",
    ]
    assert references["shifted"].pop("log") and not spans_decades("shifted")


def test_samples_that_no_score_is_defined_for_are_refused() -> None:
    scorer = make_scorer(Gaussian(), Path("nowhere"))
    infinite = torch.full((10_000, 1), math.inf)
    for samples, why in (
        (torch.zeros(9_999, 1), "10000"),
        (infinite, "10,000 of 10,000 generated samples are not finite, the first is row 0"),
    ):
        with pytest.raises(ValueError, match=why):
            scorer.curve(samples)
    with pytest.raises(ValueError, match="generated samples: 0; expected at least 1"):
        Samples(torch.empty(0, 1))
    some = torch.zeros(20, 1)
    some[17], some[3] = math.nan, -math.inf
    with pytest.raises(ValueError, match="2 of 20 generated samples are not finite, the first is row 3"):
        Samples(some)
    with pytest.raises(InputError, match="shifted: size: expected at most 10,000"):
        Scorer([replace(SHIFTED, size=20_000)], LineReference(Gaussian()), 10_000, 100_000)


# Images


def test_class_coverage_by_hand() -> None:
    shares = np.array([0.5, 0.3, 0.2])
    classes = np.array([0] * 50 + [1] * 30 + [2] * 20)
    everything = class_coverage(classes, np.ones(100, bool), shares)
    assert (everything.modes, everything.hq_share, everything.mode_kl) == (3, 1, pytest.approx(0))
    quality = np.zeros(100, bool)
    # A tenth of class 1's 30 and one less than a tenth of class 2's 20.
    quality[:50], quality[50:53], quality[80:81] = True, True, True
    found = class_coverage(classes, quality, shares)
    assert (found.modes, found.hq_share) == (2, pytest.approx(0.54))
    assert found.mode_kl == pytest.approx(stats.entropy([50 / 54, 3 / 54, 1 / 54], shares))
    nothing = class_coverage(classes, np.zeros(100, bool), shares)
    assert (nothing.modes, nothing.mode_kl) == (0, pytest.approx(math.log(5)))


def test_fid_is_its_formula() -> None:
    from gan.scores.fid import fid, statistics

    generator = torch.Generator().manual_seed(0)
    one = torch.randn(400, 12, generator=generator, dtype=torch.float64)
    two = one @ torch.randn(12, 12, generator=generator, dtype=torch.float64) + 0.5
    mu1, mu2 = one.mean(0).numpy(), two.mean(0).numpy()
    s1, s2 = np.cov(one.numpy(), rowvar=False), np.cov(two.numpy(), rowvar=False)
    expected = ((mu1 - mu2) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(linalg.sqrtm(s1 @ s2)))
    assert fid(statistics(one), statistics(two)) == pytest.approx(expected, rel=1e-9)
    assert fid(statistics(one), statistics(one)) == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module", params=["digits", "mnist"])
def images(request: pytest.FixtureRequest) -> tuple[Images, Scorer, ImageData]:
    target = Images(request.param)
    if not target.available(DATA_DIR):
        pytest.skip(f"no {target.name} files under {DATA_DIR}: set GAN_DATA_DIR")
    return target, make_scorer(target, DATA_DIR), target.load(DATA_DIR)


def test_noise_covers_no_class_one_image_one_and_real_images_ten(
    images: tuple[Images, Scorer, ImageData],
) -> None:
    target, scorer, data = images
    reference = scorer.reference
    assert isinstance(reference, ImageReference)
    for take, n in ((scorer.curve, scorer.curve_size), (scorer.final, scorer.final_size)):
        noise = torch.randint(256, (n, target.dimension), dtype=torch.uint8, generator=_generator())
        assert take(noise)["modes"] == 0
        # A held-out image that is itself of high quality, as 97 in 100 are.
        features, _ = reference.extract(data.test[:20])
        image = data.test[:20][torch.from_numpy(reference.quality.judge(data.test[:20], features)[0])][0]
        one = take(image.repeat(n, 1))
        assert (one["modes"], one["hq_share"]) == (1, 1)
        real = take(data.test[:n])
        assert real["modes"] == 10
        # 97 in 100 but for the threshold, which rests on as few as 300 validation images.
        assert real["hq_share"] == pytest.approx(0.97, abs=0.03)
        assert real["look_share"] > 0.97


def test_looks_are_judged_halfway_between_real_images_and_class_means(images: tuple[Images, Scorer, ImageData]) -> None:
    """So that legible images that are rougher than real ones count, and blobs do not."""
    _, scorer, data = images
    reference = scorer.reference
    assert isinstance(reference, ImageReference)
    quality, train, labels = reference.quality, data.train[:REFERENCES], data.train_labels[:REFERENCES]
    means = torch.stack([train[labels == k].float().mean(dim=0) for k in range(10)])

    def looks(x: torch.Tensor) -> np.ndarray:
        return quality.distances(x, torch.zeros(len(x), quality.features.shape[1]))[1]

    real, blob = np.percentile(looks(data.validation), 97.5), looks(means).min()
    assert real < quality.thresholds[1] < blob
    assert quality.thresholds[1] / real == pytest.approx(blob / quality.thresholds[1])


def test_references_are_real_at_the_same_size(images: tuple[Images, Scorer, ImageData]) -> None:
    target, scorer, data = images
    references = scorer.references()
    assert references == scorer.references()
    assert list(references) == [score.name for score in scores_of(target)]
    sizes = sample_sizes(target)
    for name, row in references.items():
        score = next(score for score in scores_of(target) if score.name == name)
        assert row["n"] == (score.size or sizes[1 if score.final else 0])
        if name in map(fid_name, sizes):
            assert 0 < row["floor"] < row["noise"] / 10
            # A tenth of noise is the bar for a run that is long enough: one image must not pass it.
            one = data.test[:1].repeat(row["n"], 1)
            scores = scorer.curve(one) if row["n"] == sizes[0] else scorer.final(one)
            assert scores[name] > row["noise"] / 10
    assert references["modes"]["noise"] == 0
    assert references["hq_share"]["noise"] < 0.01
    assert references["mode_kl"]["floor"] < 0.05


def test_faint_speckle_hardly_counts_and_strong_noise_ruins(
    images: tuple[Images, Scorer, ImageData],
) -> None:
    _, scorer, data = images
    real = data.test[: scorer.curve_size].float()
    noise = torch.randn(real.shape, generator=_generator())
    fid = fid_name(scorer.curve_size)
    faint = scorer.curve((real + 8 * noise).clamp(0, 255).to(torch.uint8))
    assert faint["modes"] == 10
    assert faint["hq_share"] > 0.75
    strong = scorer.curve((real + 128 * noise).clamp(0, 255).to(torch.uint8))
    assert strong["hq_share"] < 0.1
    assert strong[fid] > 10 * faint[fid]


def test_a_missing_class_is_seen(images: tuple[Images, Scorer, ImageData]) -> None:
    _, scorer, data = images
    n = scorer.curve_size
    kept = data.train[data.train_labels != 4]
    found = scorer.curve(kept[torch.randperm(len(kept), generator=_generator())[:n]])
    assert found["modes"] == 9
    share = float((data.train_labels == 4).double().mean())
    assert found["mode_kl"] == pytest.approx(-math.log(1 - share), abs=0.03)


def test_scores_do_not_depend_on_the_samples_order(images: tuple[Images, Scorer, ImageData]) -> None:
    target, scorer, data = images
    n = scorer.curve_size
    order = torch.randperm(n, generator=_generator())
    one, two = scorer.curve(data.train[:n]), scorer.curve(data.train[:n][order])
    assert one == pytest.approx(two, rel=1e-4)
    assert set(one) == {score.name for score in scores_of(target) if score.curve}
    final = scorer.final(data.train[: scorer.final_size])
    assert set(final) == {score.name for score in scores_of(target) if score.final}


def test_extractor_is_registered_under_the_digest_of_its_weights() -> None:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    from gan.scores.card import read_card
    from gan.scores.fid import extractor_name, make_extractor

    name = extractor_name(Images("digits"))
    assert str(read_card("digits")["weights_sha256"])[:12] in name
    assert name in FEATURE_EXTRACTORS_REGISTRY and extractor_name(Images("digits")) == name
    extractor = make_extractor(Images("digits"), "cpu")
    given = extractor.convert_features_tuple_to_dict(extractor(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)))
    assert {key: tuple(value.shape) for key, value in given.items()} == {
        "features": (2, 24),
        "logits": (2, 10),
    }


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
