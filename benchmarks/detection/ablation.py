"""`python -m benchmarks.detection.ablation [--json FILE] [--only NAME ...]`: what each part of the detector is worth.

Every variant is the whole detector with one part out, on the same series; its row shows the paired difference from the
whole with its standard error, by leaving out one fold of series (or one machine, or one seed) after the other. The
forecasts are made once, beside the whole scorer, and are the same for all variants that keep the forecaster. Synthetic
seeds are others than those that anything was chosen by. `mean` is over NAB (as a share of 100), cloud and synthetic F1,
and the average precision of both kinds of machine. With `--json` a run that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks import json_file
from benchmarks.detection import fleet, server, synthetic
from benchmarks.detection.components import Forecasts, Trace, play_collection
from benchmarks.detection.estimate import Estimate, estimate, mean_of
from benchmarks.detection.layout import DEFAULT_DATA, load_collection
from benchmarks.detection.machine_files import Machine, load_machines, of_kind
from benchmarks.detection.machines import group_scores, metrics, of_test
from benchmarks.detection.parts import FORECASTERS, PERSISTENCE, VARIANTS, WHOLE, Variant
from detector.backtest import daily, nab
from detector.backtest.series import Series
from detector.columns import Bool, Columns, Field, Rows
from detector.errors import DetectorError
from detector.protocols import Forecast
from detector.records import Float64
from detector.scoring import Scorer

FRESH_SEEDS = (31, 32, 33, 34, 35, 36, 37, 38)
FOLDS = 8
MEAN_OF = ("NAB", "cloud F1", "synthetic F1", "SMD", "ASD")
One = TypeVar("One")
Estimates = dict[str, Estimate]


class Recorder:
    """A forecaster that keeps the forecasts it made, one entry a round."""

    def __init__(self, forecaster: Forecasts) -> None:
        self._forecaster = forecaster
        self.fields: tuple[Field, ...] = forecaster.fields
        self.rounds: list[Forecast] = []
        self.learn = forecaster.learn
        self.forecast = forecaster.forecast

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        self.rounds.append(self._forecaster.stored(state, rows))
        return self.rounds[-1]


class Recording:
    """Forecasts as they were made before, for the same series."""

    def __init__(self, rounds: Sequence[Forecast]) -> None:
        self.fields: tuple[Field, ...] = ()
        self._rounds = iter(rounds)

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        return next(self._rounds)

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool) -> None:
        """They are what they are."""

    def forecast(self, state: Columns, rows: Rows) -> None:
        """The same."""


class Benchmarks(NamedTuple):
    """All labelled series."""

    nab: list[Series]
    cloud: list[Series]
    smd: list[Machine]
    asd: list[Machine]
    synthetic: list[list[Series]]
    """By seed."""
    hosts: list[list[Machine]]
    """With correlated events, by seed."""

    @classmethod
    def load(cls, folder: Path) -> Benchmarks:
        machines = load_machines(folder / "server-metrics")
        smd, asd = (of_kind(machines, kind) for kind in ("smd", "asd"))
        suites = [synthetic.suite(seed) for seed in FRESH_SEEDS]
        hosts = [
            fleet.fleet(seed, fleet.EVENT_HOSTS, fleet.EVENT_DAYS, fleet.EVENT_STEP_SECONDS) for seed in FRESH_SEEDS
        ]
        return cls(load_collection(folder / "nab"), load_collection(folder / "cloud"), smd, asd, suites, hosts)

    def plays(self) -> tuple[list[Series], list[Series]]:
        """What is played side by side: the long series, and the many."""
        long = [*self.nab, *self.cloud, *metrics(self.smd), *metrics(self.asd)]
        return long, [*_flat(self.synthetic), *metrics(_flat(self.hosts))]

    def figures(self, long: list[Trace], many: list[Trace], variant: Variant) -> Estimates:
        """Every column's estimate, from the traces of `plays`."""
        nab_scores, long = _scores(self.nab, long), long[len(self.nab) :]
        cloud_scores, long = _scores(self.cloud, long), long[len(self.cloud) :]
        found = {
            "NAB": _folded(nab.evaluate, self.nab, nab_scores, "standard"),
            "NAB own": _folded(nab.evaluate, self.nab, nab_scores, "standard_at_own_threshold"),
            "cloud F1": _folded(daily.evaluate, self.cloud, cloud_scores, "best_f1"),
            "cloud own F1": _folded(daily.evaluate, self.cloud, cloud_scores, "f1_at_own_threshold"),
        }
        suites = []
        for suite in self.synthetic:
            suites.append(daily.evaluate(suite, _scores(suite, many)))
            many = many[len(suite) :]
        found["synthetic F1"] = mean_over([figures["best_f1"] for figures in suites])
        found["synthetic own caught"] = mean_over([figures["caught_at_own_threshold"] for figures in suites])
        for name, machines in (("SMD", self.smd), ("ASD", self.asd)):
            count = len(metrics(machines))
            groups = of_test(machines, group_scores(machines, long[:count], variant.group()))
            found[name] = mean_over(server.areas(machines, groups)["average_precision"])
            long = long[count:]
        shares = []
        for hosts in self.hosts:
            count = len(metrics(hosts))
            groups = of_test(hosts, group_scores(hosts, many[:count], variant.group()))
            shares.append(server.incidents_caught(hosts, groups, 1.0)[0])
            many = many[count:]
        return found | {"fleet events": mean_over(shares)}


def _flat(parts: list[list[One]]) -> list[One]:
    return [one for part in parts for one in part]


def _scores(collection: Sequence[Series], traces: Sequence[Trace]) -> list[Float64]:
    return [trace.anomaly_score for trace in traces[: len(collection)]]


def mean_over(parts: Sequence[float] | Float64) -> Estimate:
    """The mean of figures of independent parts."""
    return estimate(len(parts), len(parts), lambda places: float(np.mean([parts[place] for place in places])))


def _folded(
    evaluate: Callable[[Sequence[Series], Sequence[Float64]], dict[str, float]],
    collection: Sequence[Series],
    scores: Sequence[Float64],
    name: str,
) -> Estimate:
    """One figure over a collection."""

    def figure(places: Sequence[int]) -> float:
        return evaluate([collection[place] for place in places], [scores[place] for place in places])[name]

    return estimate(len(collection), FOLDS, figure)


class Ablation:
    """Plays variants. The first play is the whole detector's, which leaves the forecasts for the others."""

    def __init__(self, benchmarks: Benchmarks) -> None:
        self._benchmarks = benchmarks
        recorders = [Recorder(FORECASTERS["shipped"]()) for _ in benchmarks.plays()]
        self._traces = self._play(recorders, Variant())
        self._recorded = [recorder.rounds for recorder in recorders]
        self.whole = benchmarks.figures(*self._traces, Variant())

    def figures(self, variant: Variant) -> Estimates:
        """Every column of one variant."""
        if variant.forecaster != "shipped":
            traces = self._play([FORECASTERS[variant.forecaster]() for _ in self._recorded], variant)
        elif variant.scorer is not Scorer:
            traces = self._play([Recording(rounds) for rounds in self._recorded], variant)
        else:
            traces = self._traces
        return self._benchmarks.figures(*traces, variant)

    def _play(self, forecasters: Sequence[Forecasts], variant: Variant) -> tuple[list[Trace], list[Trace]]:
        long, many = (
            play_collection(collection, forecaster, variant.scorer())
            for collection, forecaster in zip(self._benchmarks.plays(), forecasters, strict=True)
        )
        return long, many


def mean_difference(whole: Estimates, other: Estimates | None) -> tuple[float, float]:
    """(mean over the benchmarks, its standard error) of a variant less the whole, or of the whole itself."""
    scale = {"NAB": 0.01}
    chosen = [whole[name] if other is None else other[name].less(whole[name]) for name in MEAN_OF]
    scaled = [
        Estimate(scale.get(name, 1.0) * one.value, scale.get(name, 1.0) * one.without)
        for name, one in zip(MEAN_OF, chosen, strict=True)
    ]
    return mean_of(scaled)


def table(found: dict[str, Estimates], base: str = WHOLE) -> str:
    """Markdown: the whole, and what each variant differs from it."""
    whole = found[base]
    lines = [f"| | {' | '.join(whole)} | mean |", "|---" * (len(whole) + 2) + "|"]
    for name, estimates in found.items():
        itself = name == base
        cells = [
            _cell(one.value, one.standard_error, column.startswith("NAB"), signed=not itself)
            for column, one in ((c, e if itself else e.less(whole[c])) for c, e in estimates.items())
        ]
        mean, error = mean_difference(whole, None if itself else estimates)
        lines.append(f"| {name} | {' | '.join(cells)} | {_cell(mean, error, False, signed=not itself)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float, error: float, of_a_hundred: bool, *, signed: bool) -> str:
    digits = 1 if of_a_hundred else 3
    return f"{value:{'+' if signed else ''}.{digits}f} +- {error:.{digits}f}"


def read(path: Path | None) -> dict[str, Estimates]:
    """Figures that an earlier run left."""
    return {
        variant: {name: Estimate(value, np.array(without)) for name, (value, without) in columns.items()}
        for variant, columns in (json_file.read(path) or {}).items()
    }


def write(path: Path | None, found: dict[str, Estimates]) -> None:
    """Leave them, if anywhere."""
    plain = {
        variant: {name: (one.value, one.without.tolist()) for name, one in columns.items()}
        for variant, columns in found.items()
    }
    json_file.write(path, plain)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with nab/, cloud/ and server-metrics/")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=tuple(VARIANTS), metavar="NAME")
    parser.add_argument(
        "--json", type=json_file.destination, help="keep figures here; variants that it has are not played again"
    )
    args = parser.parse_args()
    try:
        found = read(args.json)
        missing = [name for name in args.only if name not in found and name != WHOLE]
        benchmarks = Benchmarks.load(args.data) if missing or WHOLE not in found else None
    except DetectorError as exc:
        parser.error(str(exc))
    if benchmarks is not None:
        ablation = Ablation(benchmarks)
        found[WHOLE] = ablation.whole
        write(args.json, found)
    for name in missing:
        began = time.perf_counter()
        found[name] = ablation.figures(VARIANTS[name])
        print(f"{name} ({time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)
        write(args.json, found)
    print(table(found))
    if PERSISTENCE in found:
        mean, error = mean_difference(found[WHOLE], found[PERSISTENCE])
        fresh = found[PERSISTENCE]["synthetic F1"].less(found[WHOLE]["synthetic F1"])
        print(
            f"The network instead of the last value: {-mean:+.4f} +- {error:.4f}, {-mean / error:.1f} standard errors;"
        )
        print(f"on fresh seeds {-fresh.value:+.4f}, {-fresh.value / fresh.standard_error:.1f} standard errors.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
