#!/usr/bin/env python3
"""Manual pages from the public headers' comments, and a lint of these comments.

    manpages.py --version V --out DIR HEADER...    DIR/man3/*.3 and DIR/man7/gosched.7
    manpages.py --lint HEADER...                   says what comments lack; fails if they do

One page for each comment: the functions that are declared under it, without a blank line between,
share the page, and each has a file of its own that leads there.  The text of a comment becomes the
description; lines indented by three blanks are a list of parameters; what follows "Errors" at the
start of a sentence is the section ERRORS.  A comment that begins with "---- name ----" opens a
section of the header; what else it says holds for all functions of the section.  Structures and
enumerations appear as they stand in the header, in the pages of the functions that name them.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

# Names that mean the same everywhere; the header's first comment explains them.
CONVENTIONAL = {
    "fn", "arg", "result", "out", "cfg", "opts", "handle", "deadline_ns", "ud", "err", "fd", "cb",
    "i",
}  # fmt: skip
SAYS_WHERE = re.compile(
    r"\bpark|\bany thread|\bany stack|\bgreen thread|\bthis thread|\bcalling thread|"
    r"\bsignal handlers?\b|\bblocks? th|\bone thread at a time",
    re.IGNORECASE,
)
SAYS_RESULT = re.compile(
    r"\bErrors?\b|GS_E[A-Z]+|GS_OK|\b1 (if|once)|\b[01]: |\bReturns\b|-1|errno"
)
SECTION = re.compile(r"^---- (.+?) -+$")
NAME = re.compile(r"\bgs_\w+\b")
# Of the newest header, so that the same tree gives the same pages.
DATE = ""
FUNCTION = re.compile(r"\b((?:gs|GS)_\w+)\s*\(")


@dataclass
class Function:
    name: str
    prototype: str
    trailing: str = ""
    parameters: list[tuple[str, str]] = field(default_factory=list)

    @property
    def returns(self) -> str:
        return self.prototype[: self.prototype.index(self.name)].replace("GS_API", "").strip()


@dataclass
class Group:
    """A comment and the functions under it."""

    header: str
    section: str
    section_text: str
    text: str
    type_text: str
    functions: list[Function] = field(default_factory=list)


@dataclass
class Header:
    name: str
    intro: str
    groups: list[Group] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)  # name or member -> text of the declaration

    @property
    def threads(self) -> str:
        """What the first comment says of all functions."""
        return " ".join(p for p in self.intro.split("\n\n") if p.startswith("Threads."))


# ---- reading ----


def plain(comment: str) -> str:
    """The text of a comment without its stars."""
    body = comment.strip()[2:-2]
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body.split("\n")]
    lines[0] = lines[0].strip()
    return "\n".join(lines).strip("\n")


def split_parameters(prototype: str, name: str) -> list[tuple[str, str]]:
    inside = prototype[prototype.index(name) + len(name) :].strip()[1:]
    inside = inside[: inside.rindex(")")]
    parts, depth, part = [], 0, ""
    for char in inside:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    parts.append(part)
    found = []
    for text in (" ".join(part.split()) for part in parts):
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", text)
        last = re.search(r"(\w+)(?:\[\w*\])?$", text)
        if text not in ("void", "", "...") and (match := pointer or last):
            found.append((match[1], text))
    return found


TOKEN = re.compile(r"/\*.*?\*/|#(?:\\\n|[^\n])*|\n[ \t]*\n|[^/#\n]+|\n|/|#", re.DOTALL)


def read_header(path: Path) -> Header:
    source = path.read_text()
    header = Header(path.name, "")
    section = section_text = comment = type_text = ""
    group: Group | None = None
    code, depth, source_newline = "", 0, True
    last: Function | None = None
    for token in TOKEN.findall(source):
        if token.startswith("/*"):
            text = plain(token)
            if depth > 0 or code.strip():
                code += token
            elif last and not source_newline:
                last.trailing = " ".join(text.split())
            elif not header.intro:
                header.intro = text
            else:
                first, _, rest = text.partition("\n")
                if opened := SECTION.match(first.strip()):
                    section, section_text = opened[1], rest.strip("\n")
                    comment = type_text = ""
                else:
                    comment = text
                group = None
        elif token.startswith("#"):
            if depth > 0:
                code += token
        elif token == "\n":
            source_newline = True
            if depth > 0 or code.strip():
                code += "\n"
        elif re.fullmatch(r"\n[ \t]*\n", token):
            source_newline = True
            if depth > 0:
                code += token
            elif not code.strip():
                group, comment = None, ""
        else:
            if not code.strip() and depth == 0 and token.strip():
                source_newline = False
            for part in re.split(r"(?<=[;{}])", token):
                code += part
                depth += part.count("{") - part.count("}")
                if depth == 0 and part.endswith(";"):
                    last, group, comment, type_text = declaration(
                        header, code.strip(), section, section_text, comment, type_text, group
                    )
                    code = ""
                if code.strip() == 'extern "C" {' or (depth < 0 and code.strip() == "}"):
                    code, depth = "", 0
    return header


def declaration(
    header: Header,
    code: str,
    section: str,
    section_text: str,
    comment: str,
    type_text: str,
    group: Group | None,
) -> tuple[Function | None, Group | None, str, str]:
    if "GS_API" not in code:
        name = re.search(r"\}\s*(\w+);$", code)
        bare = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
        if name or code.startswith("enum"):
            whole = (f"/* {comment} */\n" if comment and "\n" not in comment else "") + code
            for member in [name[1]] if name else re.findall(r"\b(GS_\w+)\b", bare):
                header.types[member] = whole
            if name:
                type_text = comment
        return None, None, "", type_text
    prototype = " ".join(code[code.index("GS_API") :].split())
    match = FUNCTION.search(prototype.replace("GS_API ", ""))
    if not match:
        return None, group, comment, type_text
    function = Function(match[1], prototype.replace("GS_API ", ""))
    function.parameters = split_parameters(function.prototype, function.name)
    if group is None:
        group = Group(header.name, section, section_text, comment, type_text)
        header.groups.append(group)
    group.functions.append(function)
    return function, group, comment, type_text


# ---- checking ----


def lint(header: Header) -> list[str]:
    found = []
    told = {f.name: group.text for group in header.groups for f in group.functions}
    for group in header.groups:
        for function in group.functions:
            where = f"{header.name}: {function.name}"
            words = " ".join([group.text, function.trailing, group.type_text])
            if not words.strip():
                found.append(f"{where} has no comment")
                continue
            # "As gs_x" takes over what is said there.
            texts = [words, group.section_text, header.threads]
            around = " ".join(texts + [told.get(name, "") for name in NAME.findall(words)])
            if not SAYS_WHERE.search(around):
                found.append(f"{where}: says neither whether it parks nor which threads may call")
            if function.returns == "int" and not SAYS_RESULT.search(around):
                found.append(f"{where}: does not say what it returns")
            for name, text in function.parameters:
                if name in CONVENTIONAL or "**" in text or re.search(rf"\b{name}\b", around):
                    continue
                # The object that it works on: its name and type say all there is to say.
                if text == function.parameters[0][1] and re.match(r"(const )?gs_\w+ \*\w+$", text):
                    continue
                # What its values mean: "+1: ...", "NULL: ...".
                if len(function.parameters) == 1 and re.search(r"(?:[+-]1|\b0|NULL): ", around):
                    continue
                found.append(f"{where}: says nothing of its parameter {name}")
    return found


# ---- writing ----


def escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("…", "...").replace("–", "-").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def flow(text: str) -> list[str]:
    """Paragraphs of a comment, with its lists of parameters."""
    out: list[str] = []
    item = False
    for line in text.split("\n"):
        parameter = re.match(r"^ {2,}(\w[\w, ]*?) {2,}(\S.*)$", line)
        if not line.strip():
            out.append(".PP")
            item = False
        elif parameter:
            out += [".TP", f".I {escape(parameter[1])}", escape(parameter[2])]
            item = True
        elif re.match(r"^ {4,}", line) and item:
            out.append(escape(line.strip()))
        elif bullet := re.match(r"^ *- (.*)$", line):
            out += [".IP \\(bu 2", escape(bullet[1])]
            item = True
        elif re.match(r"^ {3,}", line):
            out += [".PP", ".nf", escape(line), ".fi"]
        else:
            if item and not line.startswith(" "):
                out.append(".PP")
                item = False
            out.append(escape(line.strip()))
    return re.sub(r"\.fi\n\.PP\n\.nf\n", "", "\n".join(out)).split("\n")


def squeeze(lines: list[str]) -> list[str]:
    """Without paragraph breaks that mandoc finds empty."""
    out: list[str] = []
    for line in lines:
        if line == ".PP" and (not out or re.match(r"\.(PP|SH|SS|TP|IP)", out[-1])):
            continue
        if re.match(r"\.(SH|IP|TP)", line) and out and out[-1] == ".PP":
            out.pop()
        out.append(line)
    while out and out[-1] == ".PP":
        out.pop()
    return out


def split_errors(text: str) -> tuple[str, str]:
    match = re.search(r"(?:^|(?<=\.  )|(?<=\. )|(?<=\n))Errors\b[^:.\n]*: ?", text)
    if not match:
        return text, ""
    rest = text[match.start() :]
    # To the end of the paragraph or of the enumeration.
    end = re.search(r"\.(?=\s)|\n\n|\Z", rest)
    assert end
    errors = rest[: end.end()].strip()
    return (text[: match.start()].rstrip() + "\n" + rest[end.end() :].strip("\n")).strip(), errors


def first_sentence(group: Group) -> str:
    text = " ".join((group.text or group.functions[0].trailing or group.type_text).split())
    while text != (text := re.sub(r"\s*\([^()]*\)", "", text)):
        pass
    sentence = re.split(r"(?<=[\w)])[.;:](?:\s|$)", text, maxsplit=1)[0]
    return sentence if len(sentence) <= 100 else sentence[:97].rsplit(" ", 1)[0] + " ..."


def head(title: str, volume: int, version: str) -> list[str]:
    return [
        '.\\" Generated by tools/manpages.py from the header; changes belong there.',
        f'.TH {title.upper()} {volume} "{DATE}" "gosched {version}" "gosched"',
    ]


def page(group: Group, headers: dict[str, Header], version: str) -> str:
    names = [function.name for function in group.functions]
    out = [*head(names[0], 3, version), ".SH NAME"]
    out.append(", ".join(names) + " \\- " + escape(first_sentence(group)))
    out += [".SH SYNOPSIS", ".nf", f".B #include <{group.header}>", ".PP"]
    for function in group.functions:
        out.append(f'.BI "{escape(function.prototype)}"')
    out.append(".fi")
    text, errors = split_errors(group.text)
    out += [".SH DESCRIPTION", *flow(text or group.type_text)]
    for function in group.functions:
        if function.trailing:
            out += [".TP", f".BR {function.name} ()", escape(function.trailing)]
    if group.section_text:
        out += [f".SS All functions of: {escape(group.section)}", *flow(group.section_text)]
    if errors:
        out += [".SH ERRORS", *flow(re.sub(r"^Errors\b[^:]*: ?", "", errors))]
    shown: list[str] = []
    for name in re.findall(r"\bgs_\w+\b", " ".join(f.prototype for f in group.functions)):
        declared = next((h.types[name] for h in headers.values() if name in h.types), None)
        if declared and declared not in shown:
            shown.append(declared)
    if shown:
        out.append(".SH TYPES")
        for declared in shown:
            out += [".PP", ".nf", escape(declared), ".fi"]
    others = [
        f".BR {other.functions[0].name} (3)"
        for header in headers.values()
        for other in header.groups
        if other is not group and other.section == group.section and header.name == group.header
    ]
    out += [".SH SEE ALSO", *(line + "," for line in others[:12]), ".BR gosched (7)"]
    return "\n".join(squeeze(out)) + "\n"


def overview(headers: dict[str, Header], version: str) -> str:
    out = [*head("gosched", 7, version), ".SH NAME"]
    out += ["gosched \\- Go's scheduler as a C library", ".SH DESCRIPTION"]
    for header in headers.values():
        intro = header.intro.partition("\n")[2].strip("\n")
        out += [f".SS {header.name}", *flow(intro)]
    out.append(".SH FUNCTIONS")
    section = ("", "")
    for header in headers.values():
        for group in header.groups:
            if (header.name, group.section) != section:
                section = (header.name, group.section)  # type: ignore[assignment]
                out.append(
                    f".SS {header.name}{': ' + escape(group.section) if group.section else ''}"
                )
            out += [".TP", f".BR {group.functions[0].name} (3)", escape(first_sentence(group))]
            more = ", ".join(function.name for function in group.functions[1:])
            if more:
                out.append(f"(also {more})")
    out += [".SH ENVIRONMENT"]
    out += [".TP", ".B GOSCHED_PROCS", "How many Ps the native domain has."]
    out += [".TP", ".B GOSCHED_MAX_THREADS", "How many threads there may be at most."]
    out += [".TP", ".B GOSCHED_STACK_SIZE", "Bytes of a green thread's stack."]
    out += [".SH SEE ALSO", ".BR gs_run (3),", ".BR gs_cgocall (3)"]
    return "\n".join(squeeze(out)) + "\n"


def write(headers: dict[str, Header], out: Path, version: str) -> int:
    for old in [*out.glob("man3/*.3"), *out.glob("man7/*.7")]:
        old.unlink()
    for volume in ("man3", "man7"):
        (out / volume).mkdir(parents=True, exist_ok=True)
    count = 0
    for header in headers.values():
        for group in header.groups:
            first, *others = group.functions
            (out / "man3" / f"{first.name}.3").write_text(page(group, headers, version))
            for other in others:
                (out / "man3" / f"{other.name}.3").write_text(f".so man3/{first.name}.3\n")
            count += len(group.functions)
    (out / "man7" / "gosched.7").write_text(overview(headers, version))
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("headers", type=Path, nargs="+")
    parser.add_argument("--lint", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--version", default="")
    options = parser.parse_args()
    global DATE
    newest = max(path.stat().st_mtime for path in options.headers)
    DATE = datetime.fromtimestamp(newest, timezone.utc).strftime("%Y-%m-%d")
    headers = {path.name: read_header(path) for path in options.headers}
    if options.out:
        count = write(headers, options.out, options.version)
        print(f"{count} functions in {options.out}/man3")
    if not options.lint:
        return 0
    found = [line for header in headers.values() for line in lint(header)]
    print("\n".join(found))
    functions = sum(len(g.functions) for h in headers.values() for g in h.groups)
    print(f"{functions - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
