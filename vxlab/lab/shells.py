"""An interactive shell that runs in a node and names the node in its prompt."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Shell:
    """A command to run, and what to add to its environment."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def user_shell() -> str:
    """The user's $SHELL, or bash."""
    return os.environ.get("SHELL") or "bash"


def prepared(shell: str, node: str, lab: str, folder: Path) -> Shell:
    """The shell with the prompt `NODE@LAB:DIRECTORY$ `, after the user's own settings.

    folder: where files that the shell reads at its start can be written; visible in the node.
    Shells other than bash, zsh and fish get the prompt from the variable PS1.
    """
    place = f"{node}@{lab}"
    name = Path(shell).name
    if name == "bash":
        lines = ["[ ! -r ~/.bashrc ] || . ~/.bashrc", f"PS1={shlex.quote(place + ':')}'\\w\\$ '"]
        return Shell([shell, "--rcfile", str(_written(folder / "bash" / node, lines)), "-i"])
    if name == "zsh":
        home = shlex.quote(os.environ.get("ZDOTDIR") or os.path.expanduser("~"))
        lines = [f"ZDOTDIR={home}", '[ ! -r "$ZDOTDIR/.zshrc" ] || . "$ZDOTDIR/.zshrc"']
        lines.append(f"PROMPT={shlex.quote(place + ':')}'%~%# '")
        file = _written(folder / f"zsh-{node}" / ".zshrc", lines)
        return Shell([shell, "-i"], {"ZDOTDIR": str(file.parent)})
    if name == "fish":
        prompt = f"function fish_prompt; echo -n {shlex.quote(place)}:(prompt_pwd)'> '; end"
        return Shell([shell, "-i", "-C", prompt])
    return Shell([shell, "-i"], {"PS1": f"{place}$ "})


def _written(file: Path, lines: list[str]) -> Path:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file
