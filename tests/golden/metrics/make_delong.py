"""Writes delong.json: DeLong's variance of AUCs and of paired differences, by the definition of 1988.

numpy, scipy. The structural components are means over all pairs (no ranks), which is how the paper defines them.

    python3 tests/golden/metrics/make_delong.py
"""

import json
import pathlib

import numpy as np
from scipy import stats

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(1988)


def components(scores, labels):
    x, y = scores[labels == 1], scores[labels == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return psi.mean(), psi.mean(axis=1), psi.mean(axis=0)


def case(name, n, m, shift_a, shift_b, own, digits):
    labels = np.r_[np.zeros(n, int), np.ones(m, int)]
    order = rng.permutation(n + m)
    shared = rng.normal(size=n + m)
    a = (shared + own * rng.normal(size=n + m) + shift_a * labels)[order].round(digits)
    b = (shared + own * rng.normal(size=n + m) + shift_b * labels)[order].round(digits)
    labels = labels[order]
    (auc_a, a10, a01), (auc_b, b10, b01) = components(a, labels), components(b, labels)
    covariance = np.cov(a10, b10) / m + np.cov(a01, b01) / n
    deviation_a = np.sqrt(covariance[0, 0])
    deviation = np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    z = stats.norm.ppf(0.975)
    return dict(
        name=name, a=a.tolist(), b=b.tolist(), labels=labels.tolist(), auc=float(auc_a),
        low=float(max(0, auc_a - z * deviation_a)), high=float(min(1, auc_a + z * deviation_a)),
        difference=float(auc_a - auc_b), difference_low=float(max(-1, auc_a - auc_b - z * deviation)),
        difference_high=float(min(1, auc_a - auc_b + z * deviation)),
        p=float(2 * stats.norm.sf(abs(auc_a - auc_b) / deviation)))


cases = [
    case("alike", 60, 40, 1.0, 0.9, 0.5, 6),
    case("apart", 80, 30, 2.0, 0.3, 0.5, 6),
    case("ties", 50, 50, 1.0, 0.6, 0.8, 0),
    case("few", 4, 3, 0.5, 0.5, 1.0, 3),
    case("nearly perfect", 40, 25, 3.2, 2.0, 0.4, 2),
]
(here / "delong.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
