"""``python -m tests.golden --write``: make the stored records anew."""

import sys

from tests.golden import answers
from tests.golden.making import make_gateway
from tests.golden.storing import write

if sys.argv[1:] != ["--write"]:
    raise SystemExit("usage: python -m tests.golden --write")
print(f"{write(make_gateway()) + answers.write()} files written")
