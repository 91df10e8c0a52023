"""`vxlab completion SHELL`: the script that makes Tab complete `vxlab` in a shell.

The scripts are click's, changed in one point: after `KEY=` no blank is added, so that the value
can follow. Bash needs more, because it ends words at `=` and `:`.
"""

from __future__ import annotations

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

_VARIABLE = "_VXLAB_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_BREAKS = "=:"  # of bash's COMP_WORDBREAKS, those that occur in our words

_BASH_ADD = "COMPREPLY+=($value)"
_BASH_ADD_OPEN = f"{_BASH_ADD}\n            [[ $value == *= ]] && compopt -o nospace"
_ZSH_ADD = "compadd -U -V unsorted -a completions"
_ZSH_ADD_OPEN = (
    '[[ ${completions[1]} == *= ]] && compadd -U -V unsorted -S "" -a completions || ' + _ZSH_ADD
)


def joined(words: list[str]) -> list[str]:
    """Words with those that bash cut at `=` and `:` put together again: vtep, =, linux."""
    whole: list[str] = []
    glue = False
    for word in words:
        cut = bool(word) and set(word) <= set(_BREAKS)
        if whole and (cut or glue):
            whole[-1] += word
        else:
            whole.append(word)
        glue = cut
    return whole


class _Bash(BashComplete):
    source_template = BashComplete.source_template.replace(_BASH_ADD, _BASH_ADD_OPEN)
    _there = ""  # the part of the word that bash leaves as it is

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that word as a whole."""
        args, incomplete = super().get_completion_args()
        *args, last = joined([*args, incomplete])
        self._there = last[: max(map(last.rfind, _BREAKS)) + 1]
        return args, last

    def format_completion(self, item: CompletionItem) -> str:
        """What bash inserts: only what follows the last `=` or `:` that was typed."""
        return f"{item.type},{str(item.value).removeprefix(self._there)}"


class _Zsh(ZshComplete):
    source_template = ZshComplete.source_template.replace(_ZSH_ADD, _ZSH_ADD_OPEN)


def register() -> None:
    """Use these classes instead of click's own."""
    add_completion_class(_Bash, "bash")
    add_completion_class(_Zsh, "zsh")


@click.command(
    epilog="""
    \b
    bash: echo 'eval "$(vxlab completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(vxlab completion zsh)"' >> ~/.zshrc
    fish: vxlab completion fish > ~/.config/fish/completions/vxlab.fish
    """
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Tab then completes commands, options, labs, nodes, topologies, keys and values of --set,
    VNIs, MACs and the components that can be restarted. The commands at the end
    of this help load the script whenever the shell starts.
    """
    cls: type[ShellComplete] | None = get_completion_class(shell)
    assert cls is not None
    print(cls(ctx.find_root().command, {}, "vxlab", _VARIABLE).source())


__all__ = ["completion", "joined", "register"]
