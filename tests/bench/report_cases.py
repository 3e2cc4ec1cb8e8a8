"""The benchmark's cases and what follows from their results: ratios, shares of a peak, the serial part of a step."""
import re

TRAIN_MFLOP, SCORE_MFLOP = 270, 90  # one window: forward and backward with stored maps; forward alone
EVENFLOW_TRAIN = [("evenflow_train_2", "evenflow, 2 threads"), ("evenflow_train_1", "evenflow, 1 thread")]
TORCH_TRAIN = [("torch_train_default", "PyTorch"),
               ("torch_train_channels_last", "PyTorch, channels-last"),
               ("torch_train_micro", "PyTorch, channels-last, micro-batches of 32"),
               ("torch_train_processes", "PyTorch, the same in 2 processes of 1 thread"),
               ("torch_train_compiled", "PyTorch, channels-last, micro-batches of 32, torch.compile")]
EVENFLOW_SCORE = [("evenflow_score_2", "evenflow, 2 threads"), ("evenflow_score_1", "evenflow, 1 thread")]
TORCH_SCORE = [("torch_score_default", "PyTorch"),
               ("torch_score_channels_last", "PyTorch, channels-last"),
               ("torch_score_micro", "PyTorch, channels-last, micro-batches of 32")]
LOGMEL = [("evenflow_logmel", "evenflow"), ("logmel_scipy", "scipy.fft"), ("logmel_torchaudio", "torchaudio"),
          ("logmel_librosa", "librosa")]
CEILINGS = [("sgemm_2", "OpenBLAS sgemm, 2 threads"), ("sgemm_1", "OpenBLAS sgemm, 1 thread"),
            ("sgemm_2_avx2", "the same with AVX2 alone, 2 threads"),
            ("sgemm_2_baseline", "the same with SSE alone, 2 threads"),
            ("triad_2", "triad through main memory, 2 threads"), ("triad_1", "triad through main memory, 1 thread")]
BATCH = 128
CORES = 8  # of the machine on paper


class Run:
    def __init__(self, data):
        self.about, self.cases = data["about"], data["cases"]

    def value(self, name):
        return self.cases[name]["value"] if name in self.cases else None

    def ratio(self, ours, others, smaller=False):
        """How many times as fast `ours` is as the best of `others`."""
        values = [self.value(n) for n in others if n in self.cases]
        if ours not in self.cases or not values:
            return None
        return min(values) / self.value(ours) if smaller else self.value(ours) / max(values)

    def percent(self, case, ceiling, mflop):
        """Of the ceiling's FLOP/s."""
        if case not in self.cases or ceiling not in self.cases:
            return None
        return self.value(case) * mflop / 10 / self.value(ceiling)

    def family(self, pattern):
        """(number in the name, result) of all cases like evenflow_train_N, in order."""
        found = [(re.fullmatch(pattern, name), r) for name, r in self.cases.items()]
        return sorted(((int(m[1]), r) for m, r in found if m), key=lambda pair: pair[0])

    # ---- the split by layer

    def layer_groups(self):
        """[(label, block, us, flop)] of a window, the costliest first; what moves data alone is one group a block."""
        layers, groups = self.cases.get("layers"), {}
        for row in layers["rows"] if layers else []:
            label = operation_of(row["operation"])
            block = row["block"] if label != ELSE else ""
            us, flop = groups.get((label, block), (0, 0))
            groups[label, block] = us + row["us"], flop + row["flop"]
        return sorted(((label, block, us, flop) for (label, block), (us, flop) in groups.items()),
                      key=lambda g: (g[0] == ELSE, -g[2]))

    def serial_us(self):
        """{part: us} of what one thread does alone in a step."""
        layers = self.cases.get("layers")
        if not layers:
            return {}
        parts = dict(layers["serial_us"])
        loader = [r["next_batch_us"] for r in self.cases.values() if "next_batch_us" in r]
        if loader:
            parts["next_batch"] = max(loader)
        return parts

    def step_us(self, cores):
        """A step of 128 windows on so many cores, if only the serial part stood in the way."""
        layers = self.cases["layers"]
        return (BATCH * layers["value"] + layers["sum_rows_us"]) / cores + sum(self.serial_us().values())

    def serial_percent(self, cores=CORES):
        parts = self.serial_us()
        return 100 * sum(parts.values()) / self.step_us(cores) if parts else None

    # ---- scaling

    def general_shape(self):
        """(hidden width, FLOP/s of its convolutions over those of width 32), the worst of the widths tried."""
        common = self.cases.get("layers")
        widths = [(width, r["conv_gflops"] / common["conv_gflops"]) for width, r in
                  self.family(r"layers_hidden(\d+)")] if common else []
        return min(widths, key=lambda pair: pair[1]) if widths else None

    def windows_spread(self):
        """[(held, largest over smallest)] of the time per window over the window counts."""
        spreads = []
        for held in ("resident", "streamed"):
            values = [r["value"] for _, r in self.family(r"windows_(\d+)_" + held)]
            if len(values) > 1:
                spreads.append((held, max(values) / min(values)))
        return spreads


ELSE = "everything else"
OPERATIONS = [(r"coupling_forward/.*conv(\d)", "conv{}, forward"),
              (r"coupling_backward/.*conv(\d)_weight_gradient", "conv{}, weight gradient"),
              (r"coupling_backward/.*conv(\d)_data_gradient", "conv{}, data gradient"),
              (r"coupling_(?:forward|backward).*", "coupling, the rest"),
              (r"actnorm_invconv.*", "actnorm and 1x1"), (r"invconv.*", "invertible 1x1"), (r"actnorm.*", "actnorm")]


def operation_of(name):
    """The row's group: a convolution in a direction, or one of few names."""
    last = re.sub(r"^(forward|backward|loss)/?", "", name)
    for pattern, label in OPERATIONS:
        found = re.fullmatch(pattern, last)
        if found:
            return label.format(*found.groups())
    return ELSE
