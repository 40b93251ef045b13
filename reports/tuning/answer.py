"""The answer of a report on tuning: whether the ranking changes, by how much scores do, and what flatters whom."""

from __future__ import annotations

import math

from reports.ledger.ledger import Ledger
from reports.stats.contrasts import ALPHA, Contrast
from reports.stats.intervals import Interval
from reports.stats.paired import smallest_p
from reports.stats.ranking import Ranking
from reports.study.effects import FEW, effect, effect_interval, favours, p_value
from reports.study.tables import share
from reports.tuning.effects import Findings
from reports.tuning.evidence import Tuning, gather_tuning
from reports.tuning.selection import POOLED, splits_of
from reports.tuning.tables import joined, of_all, percent, pooled_name, setting, unit, variant_name


def tuning_answer(ledger: Ledger) -> str:
    """Return the whole answer of a tuned study's run directory.

    Raises:
        InputError: As `reports.tuning.evidence.gather_tuning`.
    """
    return " ".join(tuning_sentences(Findings(gather_tuning(ledger))))


def tuning_sentences(found: Findings) -> list[str]:
    """Return the answer's sentences; the first is what an index shows: what tuning changed."""
    own = found.tuning
    said = [_headline(found)]
    if own.tuned is not None:
        said += [_unwon(own), _comparisons(found), _first(found), _optimism(found), _checkpoints(found)]
    said += [_budget(found), _bounds(found), _failures(own)]
    return [f"{s[0].upper()}{s[1:]}." for s in said if s]


def _headline(found: Findings) -> str:
    own = found.tuning
    where = f"on {own.untuned.study.target_label}"
    trials = f"{own.tune['trials']} trial{'s' if own.tune['trials'] > 1 else ''}"
    if own.tuned is None:
        ended = [len(search.ended) for search in own.searches.values()]
        span = str(ended[0]) if min(ended) == max(ended) else f"{min(ended)} to {max(ended)}"
        each = " a variant" if len(ended) > 1 else ""
        return (
            f"{where}, what tuning changes is not known yet: {span} of {trials}{each} have ended, and no winner has "
            "been retrained"
        )
    if len(own.unwon) == len(own.variants):
        return f"{where}, nothing was tuned: no trial of the search was seen to its end"
    if len(own.variants) == 1:
        text = f"{where}, {_gained(found, f'tuning with {trials}')}"
    else:
        gained = _gained(found, f"over {of_all(own, len(own.compared))} it")
        won = len(own.variants) - len(own.unwon)
        whom = f"{won} of {len(own.variants)} variants" if own.unwon else "each variant"
        text = f"{where}, tuning {whom} with the same {trials} {_ranking(found)}; {gained}"
    return text if own.complete else f"so far, with what has finished: {text}"


def _unwon(own: Tuning) -> str:
    """Variants that the search found no settings for, and what became of them."""
    if not own.unwon or len(own.variants) == 1:
        return ""
    one = len(own.unwon) == 1
    return (
        f"no trial of {joined([variant_name(own, name) for name in own.unwon])} was seen to its end: "
        f"{'it keeps its' if one else 'they keep their'} untuned settings in both rankings, and "
        f"{'is' if one else 'are'} left out of what is said of tuning"
    )


def _ranking(found: Findings) -> str:
    """What becomes of the order, in the words its evidence allows."""
    own, ranking = found.tuning, found.ranking
    if ranking.outcome == "unknown":
        return "leaves open whether their order changes, because not every variant has replicas on both sides"
    if ranking.outcome == "failed":
        lost = sum(any(math.isinf(means[i]) for means in ranking.means) for i in range(len(own.variants)))
        return f"leaves open whether their order changes, because failed replicas reach the means of {lost} variants"
    if ranking.outcome == "same":
        return f"leaves the order of the {len(own.variants)} variants as it was"
    if ranking.outcome == "unresolved":
        return f"changes the order of the {len(own.variants)} variants' means, but reverses no resolved comparison"
    turned = [pair for pair in ranking.pairs if pair.reversed]
    pair = turned[0]
    # Named by which of the two was better before.
    ahead = pair.one if (pair.before.effect < 0) == (own.direction == "lower") else pair.other
    behind = pair.other if ahead == pair.one else pair.one
    many = f"{len(turned)} resolved comparisons turn round" if len(turned) > 1 else "a resolved comparison turns round"
    such = "such as" if len(turned) > 1 else "namely"
    return (
        f"changes the ranking: {many}, {such} {variant_name(own, ahead)} against {variant_name(own, behind)}, better "
        "before and worse after"
    )


def _gained(found: Findings, subject: str) -> str:
    """The effect of tuning on the score, and whether it is resolved."""
    gain, own = found.gain, found.tuning
    if not gain.pairs:
        return "no seed has finished on both sides, so its effect on the score is not known"
    if not math.isfinite(gain.interval.estimate) or gain.interval.estimate == 0 or _all_fail(found):
        return "its effect on the score is no number, because failed replicas reach the mean of the paired seeds"
    size = f"{effect(gain.interval.estimate)} times the {own.label}"
    if not gain.ratio:
        size = f"a difference of {effect(gain.interval.estimate)} in the {own.label}"
    held = "; ".join(filter(None, [_limits(gain), f"p {_equals(gain.p)}", f"{gain.pairs} paired seeds"]))
    if math.isnan(gain.p):
        held = f"{gain.pairs} paired seed{'s' if gain.pairs > 1 else ''}, too few for a test"
    if not gain.resolved:
        return f"{subject} gives {size} ({held}), which is not resolved"
    better = "improves" if favours(gain, own.direction) else "worsens"
    return f"{subject} {better} the scores, with {size} ({held})"


def _all_fail(found: Findings) -> bool:
    own = found.tuning
    return all(found.both_fail(own.variants.index(name)) for name in own.compared)


def _comparisons(found: Findings) -> str:
    """How many comparisons of two variants are resolved before and after, and how the rankings agree."""
    own, ranking = found.tuning, found.ranking
    if not ranking.pairs:
        return ""
    before, after = (sum(c.resolved for c in family) for family in _families(ranking))
    count = len(ranking.pairs)
    text = f"of {count} comparisons of two variants, {before} are resolved before tuning and {after} after it"
    if count == 1:
        text = (
            f"the comparison of the two variants is {_resolved(before)} before tuning and {_resolved(after)} after it"
        )
    if ranking.seeds > 0 and smallest_p(ranking.seeds) * count > ALPHA:
        text += f" ({ranking.seeds} seed{'s' if ranking.seeds > 1 else ''} cannot resolve any among so many)"
    if own.variants[2:] and not math.isnan(ranking.tau.estimate):
        text += f"; Kendall's tau between the two rankings is {_signed(ranking.tau)}"
    return text


def _families(ranking: Ranking) -> tuple[list[Contrast], list[Contrast]]:
    return [pair.before for pair in ranking.pairs], [pair.after for pair in ranking.pairs]


def _resolved(count: int) -> str:
    return "resolved" if count else "not resolved"


def _first(found: Findings) -> str:
    """Which variant ranks first before and after, and how often it does when seeds are drawn again."""
    own, ranking = found.tuning, found.ranking
    if len(own.variants) < 2 or ranking.outcome == "unknown":
        return ""
    parts = []
    for means, ranks, chances in zip(ranking.means, ranking.ranks, ranking.first, strict=True):
        if all(map(math.isinf, means)):
            parts.append("none, for every mean fails")
            continue
        names = [name for name, rank in zip(own.variants, ranks, strict=True) if rank == 1]
        chance = chances[own.variants.index(names[0])]
        often = "" if math.isnan(chance) or len(names) > 1 else f" (in {percent(chance)} of resamples)"
        parts.append(f"{joined([variant_name(own, name) for name in names])}{often}")
    return f"first before tuning: {parts[0]}; after it: {parts[1]}"


def _optimism(found: Findings) -> str:
    """How much worse the winners score on seeds that the selection did not see, and on another split."""
    if not found.held_out:
        return ""
    own, held = found.tuning, found.held_out[-1]
    several, other = held.variant == POOLED, splits_of(own).other
    whose = f"over {pooled_name(found)}, the winners" if several else "the winner"
    whom = "them" if several else "it"
    optimism, splits, untuned, learned = (effect_interval(i) for i in held[-4:])
    if own.log:
        text = (
            f"{whose} score{'' if several else 's'} on held-out seeds {optimism} times what the selection saw; test "
            f"over validation {other} is {splits} for {whom}"
        )
    else:
        text = (
            f"from what the selection saw, {whose} differ{'' if several else 's'} on held-out seeds by {optimism}; "
            f"from validation to test {other} the difference is {splits} for {whom}"
        )
    if math.isnan(held.learned.estimate):
        return f"{text}, and not known for the untuned settings, so that what the selection learned is not told apart"
    return (
        f"{text} and {untuned} for the untuned settings, which nobody selected; the {unit(own)} of the two, {learned}, "
        f"is where it would show if the selection fitted the validation {other}"
    )


def _checkpoints(found: Findings) -> str:
    """How far best checkpoints are from last ones, from variant to variant."""
    parts = []
    for grid, own in found.checkpoints.items():
        sizes = sorted(c.gain.interval.estimate for c in own if not math.isnan(c.gain.interval.estimate))
        if sizes:
            span = f"{effect(sizes[0])} to {effect(sizes[-1])}" if len(sizes) > 1 else effect(sizes[0])
            parts.append(f"{span} ({grid})")
    if not parts:
        return ""
    other = splits_of(found.tuning).other
    what = "times what the last one does" if found.tuning.log else "more than the last one"
    by = ", by variant" if len(found.tuning.variants) > 1 else ""
    return f"the best checkpoint, chosen on validation {other}, scores {joined(parts)} {what}{by}"


def _budget(found: Findings) -> str:
    """What half of the trials reached, and whether searching beats the untuned settings.

    Of a sampler that learns, in the order in which it drew them; else to be expected.
    """
    own = found.tuning
    whole = {name: curve for name, curve in found.progress.items() if len(curve) > 1 and name not in own.unwon}
    if not whole:
        return ""
    gaps = []
    for curve in whole.values():
        half, end = curve[len(curve) // 2 - 1], curve[-1]
        gaps.append(half / end if own.log else abs(half - end))
    span = _span(effect(min(gaps)), effect(max(gaps)))
    if own.learns:
        what = f"reached {span} times" if own.log else f"fell {span} short of"
        said = f"half of the trials, as they were drawn, {what} the objective that all of them reached"
    else:
        what = f"reach {span} times" if own.log else f"fall {span} short of"
        said = f"half of the trials would be expected to {what} the objective that all of them reach"
    return "; ".join(filter(None, [said, _beaten(found, list(whole))]))


def _beaten(found: Findings, names: list[str]) -> str:
    """How many trials it takes to beat the untuned settings, and what the two numbers are of."""
    own = found.tuning
    beaten = {name: found.trials_to_beat(name) for name in names if name in found.untuned_objectives}
    never = [variant_name(own, name) for name, count in beaten.items() if count is None]
    counts = sorted(count for count in beaten.values() if count)
    parts = []
    if counts:
        most = _span(str(counts[0]), str(counts[-1]))
        who = "those of the others" if never else "the untuned settings"
        if own.learns:
            parts.append(f"the first trial drawn that beat {who} was number {most}{', by variant' * (' to ' in most)}")
        else:
            parts.append(f"{most} trial{'s are' if most != '1' else ' is'} expected to beat {who}")
    if never:
        parts.append(f"no number of them beats the untuned settings of {joined(never)}")
    if not parts:
        return ""
    seeds, few = (f"{n} seed{'s' if n > 1 else ''}" for n in (found.untuned_seeds, own.tune["seeds"]))
    return (
        f"{'; '.join(parts)} (the untuned settings are scored over {seeds} of the study's own, a trial over {few}, and "
        "the best is chosen)"
    )


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _bounds(found: Findings) -> str:
    """Winners at a bound of their range."""
    counts: dict[str, int] = {}
    for _, name, _ in found.bounds:
        counts[name] = counts.get(name, 0) + 1
    if not counts:
        return ""
    of = sum(search.winner is not None for search in found.tuning.searches.values())
    parts = [f"`{name}` in {count} of {of}" for name, count in counts.items()]
    if of == 1:
        parts = [f"`{name}` ({_end(found, name)})" for name in counts]
    return f"at the bound of its range the winner has {joined(parts)}: a wider range may score better"


def _end(found: Findings, name: str) -> str:
    value = next(s.settings[name] for s in found.tuning.searches.values() if name in s.settings)
    return setting(value)


def _failures(tuning: Tuning) -> str:
    """How many of the search's replicas failed; not told of a search that was cut short where they do."""
    if tuning.tune["pruning"] != "none":
        return ""
    ended = [trial for search in tuning.searches.values() for trial in search.ended]
    replicas, failed = sum(len(t.statuses) for t in ended), sum(t.failures for t in ended)
    if not replicas:
        return ""
    if not failed:
        return f"none of the {replicas:,} replicas of the search failed"
    return f"of the search's replicas, {share(failed, replicas)} failed"


def _limits(gain: Contrast) -> str:
    interval = gain.interval
    if math.isnan(interval.low):
        return ""
    return f"{'95' if gain.pairs >= FEW else 'nominal 95'} % interval {effect(interval.low)} to {effect(interval.high)}"


def _equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _signed(interval: Interval) -> str:
    texts = [f"{value:.2f}".replace("-", "−") for value in interval[:3]]
    return texts[0] if math.isnan(interval.low) else f"{texts[0]} (95 % interval {texts[1]} to {texts[2]})"
