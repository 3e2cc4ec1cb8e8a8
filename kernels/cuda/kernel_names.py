"""Names of kernels for people, as the checks of a build write them."""
import re
import subprocess


def demangled(names):
    """{name: as C++ writes it}."""
    names = list(names)
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, out.splitlines()))


def readable(name):
    """The kernel and its template arguments, without return type, namespaces and parameters; an enumeration's value is
    its number. What is readable already stays so."""
    for part in ("(anonymous namespace)::", "evenflow::kernels::cuda::", "evenflow::kernels::"):
        name = name.replace(part, "")
    name = re.sub(r"\((?:\w|::)+\)(-?\d)", r"\1", name.removeprefix("void "))
    depth = 0
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            return name[:i]
    return name
