#!/usr/bin/env python3
"""check_sass.py counts a small text right, and fails where the table says otherwise."""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "kernels/cuda"))
import check_sass


def text_of(kernel, body):
    """As nvdisasm -c writes a kernel; `body`: labels, and instructions without their addresses."""
    lines = ["\t.target\tsm_90", f'\t.section\t.text.{kernel},"ax",@progbits', f".text.{kernel}:"]
    address = 0
    for line in map(str.strip, body.strip().splitlines()):
        if line.startswith(".L"):
            lines.append(line)
        else:
            lines.append(f"        /*{address:04x}*/                   {line} ;")
            address += 16
    return "\n".join(lines) + "\n"


# Two rounds of one loop hold the products; a third loop has none.
ROUNDS = text_of("_Z6roundsPf", """
    LDC R1, c[0x0][0x28]
    IADD3 R1, R1, -0x28, RZ
    .L_x_0:
    LDS R2, [R3]
    @P0 BRA `(.L_x_0)
    STL [R1+0x8], R2
    .L_x_1:
    LDS.128 R4, [R3]
    .L_x_2:
    HMMA.1688.F32.TF32 R4, R8, R10, R4
    LDSM.16.M88.4 R12, [R3]
    @!P1 BRA `(.L_x_2)
    BRA.U UP0, `(.L_x_4)
    .L_x_3:
    HMMA.1688.F32.TF32 R4, R8, R10, R4
    LDL R2, [R1+0x8]
    BRA P2, `(.L_x_3)
    .L_x_4:
    LDG.E R5, [R6]
    BRA.DIV UR4, `(.L_x_6)
    @P3 BRA `(.L_x_1)
    EXIT
    .L_x_5:
    BRA `(.L_x_5)
    .L_x_6:
    LDS R2, [R3]
    BRA `(.L_x_1)
""")
# All products are in the inner loop, whose body lies in two places.
INNER = text_of("_ZN8evenflow7kernels4cuda12_GLOBAL__N_15innerILi4ELb1EEEvPf", """
    LDC R1, c[0x0][0x28]
    VIADD R1, R1, 0xfffffff0
    .L_x_0:
    LDS R2, [R3]
    .L_x_1:
    HMMA.16816.F32.BF16 R4, R8, R10, R4
    LDS.64 R2, [R3]
    @P0 BRA `(.L_x_3)
    .L_x_2:
    @P1 BRA `(.L_x_1)
    @P2 BRA `(.L_x_0)
    @P5 EXIT
    RET.REL.NODEC R20 `(_ZN8evenflow)
    .L_x_3:
    STL [R1], R2
    BRA `(.L_x_2)
""")
NO_PRODUCTS = text_of("_Z5plainPf", """
    LDC R1, c[0x0][0x28]
    .L_x_0:
    LDS R2, [R3]
    @P0 BRA `(.L_x_0)
    CALL.REL.NOINC `($__internal_0)
    .L_x_1:
    FADD R2, R2, R2
    @P0 BRA `(.L_x_1)
    EXIT
""")


def row(*values):
    return dict(zip(check_sass.COLUMNS, values))


EXPECTED = {"rounds": row(40, 2, 13, 6, 2, 3, 1), "inner<4, true>": row(16, 1, 6, 3, 1, 1, 1),
            "plain": row(0, 0, 4, 2, 0, 1, 0)}


class Counts(unittest.TestCase):
    def test_the_round_loop_holds_all_products(self):
        self.assertEqual(check_sass.parse(ROUNDS + INNER + NO_PRODUCTS), EXPECTED)

    def test_what_is_not_understood_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "not understood"):
            check_sass.parse(ROUNDS.replace("LDG.E R5", "?"))
        with self.assertRaisesRegex(ValueError, "stack pointer"):
            check_sass.parse(ROUNDS.replace("IADD3 R1, R1", "IADD3 R2, R2"))


class Table(unittest.TestCase):
    MEASURED = {("a.cu", kernel, architecture): values for kernel, values in EXPECTED.items()
                for architecture in (*check_sass.BUILT, *check_sass.TRANSLATED)}

    def run_main(self, table, *options, release="13.0", nvdisasm="nvdisasm"):
        """The exit status and what was said, of a build that gives MEASURED."""
        said = io.StringIO()
        with mock.patch.multiple(check_sass, read=lambda: ("13.0", table), ptxas_release=lambda: release,
                                 nvdisasm=lambda: nvdisasm, measure=lambda *_: self.MEASURED), \
                mock.patch.object(sys, "argv", ["check_sass.py", "build", "ptx", *options]), \
                contextlib.redirect_stdout(said):
            return check_sass.main(), said.getvalue()

    def changed(self, change):
        key = ("a.cu", "rounds", "sm_90")
        return {**self.MEASURED, key: {**self.MEASURED[key], "loop_branches": 6 + change}}

    def test_the_same_figures_pass(self):
        self.assertEqual(self.run_main(self.MEASURED), (0, "check_sass: 12 kernels as in the table\n"))

    def test_more_and_fewer_fail(self):
        for change in (-1, 1):
            status, said = self.run_main(self.changed(change))
            self.assertEqual(status, 1)
            self.assertIn(f"rounds (a.cu, sm_90) has 6 loop branches, the table says {6 + change}\n", said)

    def test_a_line_too_many_or_too_few_fails(self):
        key = ("a.cu", "rounds", "sm_90")
        without = {k: values for k, values in self.MEASURED.items() if k != key}
        self.assertIn("has no line", self.run_main(without)[1])
        self.assertEqual(self.run_main(without)[0], 1)
        more = {**self.MEASURED, ("a.cu", "gone", "sm_90"): EXPECTED["plain"]}
        self.assertIn("there is no such kernel", self.run_main(more)[1])
        self.assertEqual(self.run_main(more)[0], 1)

    def test_what_is_not_checked_is_said(self):
        status, said = self.run_main(self.changed(1), nvdisasm=None)
        self.assertEqual(status, 0)
        self.assertIn("not checked: this machine has no nvdisasm", said)
        status, said = self.run_main(self.changed(1), release="13.1")
        self.assertEqual((status, said), (0, "check_sass: not checked: the table is of CUDA 13.0, this is 13.1\n"))
        self.assertEqual(self.run_main({}, "--update", release="13.1")[0], 1)

    def test_the_table_is_read_as_it_was_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "sass.csv"
            check_sass.write(self.MEASURED, "13.0", path)
            self.assertEqual(check_sass.read(path), ("13.0", self.MEASURED))


if __name__ == "__main__":
    unittest.main()
