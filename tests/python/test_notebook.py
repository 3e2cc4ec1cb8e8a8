"""The notebook of docs/how-to runs from its first cell to its last, and holds no output that could be out of date."""
import contextlib
import io
import json
import pathlib
import unittest

NOTEBOOK = pathlib.Path(__file__).parents[2] / "docs/how-to/python.ipynb"


class Notebook(unittest.TestCase):
    def test_every_cell_runs(self):
        names: dict = {"__name__": "__main__"}
        said = io.StringIO()
        cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(cells, 1):
            self.assertEqual(cell["outputs"], [], f"cell {number}")
            with contextlib.redirect_stdout(said):
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), names)
        self.assertIn("epoch 20 of 20", said.getvalue())


if __name__ == "__main__":
    unittest.main()
