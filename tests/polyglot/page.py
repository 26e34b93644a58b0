"""The programs of docs/embed.md run.  usage: page.py PAGE BUILD CC LUA TCLSH"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

page, build, cc, lua, tclsh = sys.argv[1:]
text = Path(page).read_text()
with tempfile.TemporaryDirectory() as scratch:
    program = Path(scratch, "program")
    compiled = Path(scratch, "compiled")
    compiling = [cc, "-x", "c", program, "-x", "none", f"-I{build}/include", f"-L{build}/lib"]
    compiling += ["-lgosched", f"-Wl,-rpath,{build}/lib", "-o", compiled]
    commands = {
        "python": [[sys.executable, program]],
        "lua": [[lua, program]],
        "tcl": [[tclsh, program]],
        "c": [compiling, [compiled]],
    }
    for language, run in commands.items():
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
        assert blocks, f"{page} has no program in {language}"
        for i, block in enumerate(blocks):
            program.write_text(block)
            for command in run:
                subprocess.run(command, check=True, timeout=120)
            print(f"{language} {i + 1}: good", flush=True)
