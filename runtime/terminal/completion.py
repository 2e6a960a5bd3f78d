"""Completion of commands, options and choices, made from the parsers. One function serves both shells.

By hand, because shtab's output for this many commands is a thousand lines to generate, store and keep fresh, where a
table and twenty lines of shell do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from fieldlens.runtime.terminal.parser import subcommands

SHELLS = ("bash", "zsh")

_FUNCTION = """# {prog}: completion, written by `{prog} completion {shell}`
{preamble}_{prog}_words() {{
  case "$1" in
{table}
  esac
}}
_{prog}() {{
  local at="" word words last="${{COMP_WORDS[COMP_CWORD-1]}}" now="${{COMP_WORDS[COMP_CWORD]}}" index=1
  while [ "$index" -lt "$COMP_CWORD" ]; do
    word="${{COMP_WORDS[index]}}"
    case " {commands} " in *" $at/$word "*) at="$at/$word" ;; esac
    index=$((index + 1))
  done
  words="$(_{prog}_words "$at $last")"
  [ -n "$words" ] || words="$(_{prog}_words "$at")"
  COMPREPLY=($(compgen -W "$words" -- "$now"))
}}
complete -o default -F _{prog} {prog}"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Shell code for ``parser`` and all that is below it. Where nothing fits, the shell completes file names."""
    rows = dict(_table(parser, ""))
    table = "\n".join(f"    '{place}') echo '{words}' ;;" for place, words in rows.items())
    commands = " ".join(place for place in rows if place and " " not in place)
    preamble = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return _FUNCTION.format(prog=parser.prog, shell=shell, preamble=preamble, table=table, commands=commands)


def _table(parser: argparse.ArgumentParser, at: str) -> Iterator[tuple[str, str]]:
    """Place → words: ``/train/fit`` → its options; ``/train/evaluate --split`` → what that option may be."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    below = subcommands(parser)
    plain = [str(c) for a in shown if not a.option_strings and not below for c in a.choices or ()]
    yield at, " ".join([*below, *plain, *(option for action in shown for option in action.option_strings)])
    for action in shown:
        if action.option_strings and action.choices:
            for option in action.option_strings:
                yield f"{at} {option}", " ".join(map(str, action.choices))
    for name, child in below.items():
        yield from _table(child, f"{at}/{name}")
