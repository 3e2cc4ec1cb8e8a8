#!/usr/bin/env python3
"""Golden values of train/metrics, train/intervals and train/threshold, from scikit-learn, NumPy, SciPy and mpmath.

    python3 -m venv v && v/bin/pip install scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6 mpmath==1.4.1
    v/bin/python make_metrics.py          # writes metrics.json, intervals.json and gamma.json beside itself
"""
import json
import pathlib

import mpmath
import numpy as np
from scipy import stats
from sklearn import metrics

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(2111)


def roc_cases():
    def case(name, scores, labels):
        scores, labels = np.asarray(scores, float), np.asarray(labels, int)
        decisions = (scores > np.quantile(scores, 0.6)).astype(int)
        return dict(name=name, scores=scores.tolist(), labels=labels.tolist(), decisions=decisions.tolist(),
                    auc=metrics.roc_auc_score(labels, scores),
                    pauc={str(m): metrics.roc_auc_score(labels, scores, max_fpr=m) for m in (0.01, 0.1, 0.25, 0.5, 1.0)},
                    precision=metrics.precision_score(labels, decisions, zero_division=0),
                    recall=metrics.recall_score(labels, decisions, zero_division=0),
                    f1=metrics.f1_score(labels, decisions, zero_division=0),
                    accuracy=metrics.accuracy_score(labels, decisions))

    def normal(n, m, shift, digits=None):
        s = np.concatenate([rng.normal(0, 1, n), rng.normal(shift, 1.3, m)])
        return (s if digits is None else s.round(digits)), np.r_[np.zeros(n), np.ones(m)]

    yield case("two", [0.1, 0.2], [0, 1])
    yield case("reversed", [3, 2, 1, 0], [0, 0, 1, 1])
    yield case("all tied", [5.0] * 9, [0, 1, 0, 1, 1, 0, 0, 0, 1])
    yield case("sklearn example", [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    yield case("max_fpr on a point", np.arange(20.0), [0, 1] * 10)
    yield case("31", *normal(17, 14, 0.7))
    yield case("coarse ties", *normal(60, 45, 0.5, 0))
    yield case("some ties", *normal(97, 53, 1.0, 1))
    yield case("large offset", *(lambda s, y: (7600 + 50 * s, y))(*normal(150, 150, 1.5)))
    yield case("tiny scale", *(lambda s, y: (1e-9 * s, y))(*normal(33, 31, 2.0)))


def quantile_cases():
    for n in (1, 2, 3, 31, 100):
        values = rng.normal(3, 2, n)
        yield dict(values=values.tolist(),
                   quantile={repr(q): float(np.quantile(values, q)) for q in (0.0, 0.05, 1 / 3, 0.5, 0.77, 0.9, 1.0)})


def pair_cases():
    for name, x, noise in (("velocities", rng.choice(np.arange(50.0, 800, 50), 60), 30.0),
                           ("large offset", 1e6 + rng.normal(0, 1, 40), 0.5), ("two", np.array([1.0, 2.0]), 1.0)):
        y = x + rng.normal(0, noise, x.size)
        yield dict(name=name, x=x.tolist(), y=y.tolist(), pearson=float(stats.pearsonr(x, y).statistic),
                   mean_absolute_error=metrics.mean_absolute_error(x, y))


def gamma_cases():
    """kind "close": SciPy finds the maximum. "ridge": the likelihood is flatter than its tolerance, where it stops
    depends on rounding. "fails": it stops far from the maximum; its numbers are kept to show that."""
    def case(name, data, kind="close"):
        data = np.asarray(data, float)
        shape, location, scale = stats.gamma.fit(data)
        return dict(name=name, data=data.tolist(), kind=kind, shape=shape, location=location, scale=scale,
                    nll=float(stats.gamma.nnlf((shape, location, scale), data)),
                    quantile={str(q): float(stats.gamma.ppf(q, shape, location, scale)) for q in (0.5, 0.9, 0.99)})

    yield case("plain", rng.gamma(2, 1, 200))
    yield case("offset", 5 + rng.gamma(3, 2, 300))
    yield case("nats", 7600 + rng.gamma(2, 50, 400))
    yield case("negative nats", -8600 + rng.gamma(5, 40, 400))
    yield case("normal", rng.normal(0, 1, 300))
    yield case("nats per dimension", 1.4189 + rng.gamma(4, 1e-3, 300))
    yield case("small scale", rng.gamma(2, 1e-4, 300))
    yield case("heavy tail", rng.gamma(1.2, 3, 250))
    yield case("exponential", rng.exponential(2, 200))
    yield case("ten", rng.gamma(2, 2, 10))
    yield case("sine autoencoder errors", 9.5 + 0.8 * np.sin(np.arange(120)) ** 2 + rng.gamma(6, 0.1, 120),
               kind="ridge")
    yield case("left-skewed nats", 7600 - rng.gamma(2, 50, 400), kind="fails")
    for i in range(3):
        yield case(f"left-skewed nats {i + 2}", 7600 - np.random.default_rng(i).gamma(2, 50, 300), kind="fails")


def inverse_cases():
    """Quantiles of Gamma(shape, 1) in 40 digits."""
    mpmath.mp.dps = 40
    for shape in (0.05, 0.3, 1.0, 2.5, 17.0, 250.0, 1e4, 1e6):
        for q in (0.01, 0.5, 0.9, 0.999):
            guess = stats.gamma.ppf(q, shape)
            f = lambda x: mpmath.gammainc(shape, 0, x, regularized=True) - mpmath.mpf(q)
            slope = lambda x: mpmath.exp((shape - 1) * mpmath.log(x) - x - mpmath.loggamma(shape))
            x = mpmath.mpf(float(guess))
            for _ in range(8):
                x -= f(x) / slope(x)
            assert abs(x / guess - 1) < 1e-9
            yield dict(shape=shape, q=q, x=float(x))


def mean_interval_cases():
    own = np.random.default_rng(95)
    for n in (2, 3, 5, 31):
        values = own.normal(80, 3, n)
        for confidence in (0.5, 0.95, 0.99):
            low, high = stats.t.interval(confidence, n - 1, values.mean(), stats.sem(values))
            yield dict(values=values.tolist(), confidence=confidence, mean=float(values.mean()), low=float(low),
                       high=float(high))


def bootstrap_cases():
    """AUCs (Mann and Whitney) and their differences on the same clips, one run a system, clips of each label resampled."""
    own = np.random.default_rng(96)
    for name, n, m, shift in (("apart", 60, 40, 1.2), ("close", 150, 150, 0.2), ("coarse", 80, 80, 0.8)):
        shared = own.normal(0, 1, n + m)
        labels = np.r_[np.zeros(n, int), np.ones(m, int)]
        a = shared + labels * (1.0 + shift) + own.normal(0, 0.5, n + m)
        b = shared + labels * 1.0 + own.normal(0, 0.5, n + m)
        if name == "coarse":
            a, b = a.round(), b.round()

        def auc(normal, anomalous):
            return stats.mannwhitneyu(anomalous, normal, axis=-1).statistic / (normal.shape[-1] * anomalous.shape[-1])

        def interval(statistic, samples):
            drawn = [[sample[own.integers(len(sample), size=(20000, len(sample)))] for sample in pair]
                     for pair in samples]
            low, high = np.quantile(statistic(drawn), [0.025, 0.975])
            return dict(low=float(low), high=float(high))

        def paired():
            rows = [own.integers(n, size=(20000, n)), n + own.integers(m, size=(20000, m))]
            figures = auc(a[rows[0]], a[rows[1]]) - auc(b[rows[0]], b[rows[1]])
            low, high = np.quantile(figures, [0.025, 0.975])
            return dict(value=float(auc(a[:n], a[n:]) - auc(b[:n], b[n:])), low=float(low), high=float(high))

        single = interval(lambda drawn: auc(*drawn[0]), [(a[:n], a[n:])])
        yield dict(name=name, a=a.tolist(), b=b.tolist(), labels=labels.tolist(), auc=single, difference=paired())


json.dump(dict(means=list(mean_interval_cases()), bootstrap=list(bootstrap_cases())),
          open(here / "intervals.json", "w"), indent=None, separators=(",", ":"))
json.dump(dict(roc=list(roc_cases()), quantiles=list(quantile_cases()), pairs=list(pair_cases())),
          open(here / "metrics.json", "w"), indent=None, separators=(",", ":"))
json.dump(dict(fits=list(gamma_cases()), inverse=list(inverse_cases())), open(here / "gamma.json", "w"),
          indent=None, separators=(",", ":"))
