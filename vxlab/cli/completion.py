"""`vxlab completion SHELL`: the script that makes Tab complete `vxlab` in a shell.

The scripts are click's, changed in one point: after `KEY=` no blank is added, so that the value
can follow. Bash needs more, because it takes `=` for the end of a word.
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

_BASH_ADD = "COMPREPLY+=($value)"
_BASH_ADD_OPEN = f"{_BASH_ADD}\n            [[ $value == *= ]] && compopt -o nospace"
_ZSH_ADD = "compadd -U -V unsorted -a completions"
_ZSH_ADD_OPEN = (
    '[[ ${completions[1]} == *= ]] && compadd -U -V unsorted -S "" -a completions || ' + _ZSH_ADD
)


def joined(words: list[str]) -> list[str]:
    """Words with those that bash cut at `=` put together again: vtep, =, linux -> vtep=linux."""
    whole: list[str] = []
    glue = False
    for word in words:
        if word == "=" and whole:
            whole[-1] += word
            glue = True
        elif glue:
            whole[-1] += word
            glue = False
        else:
            whole.append(word)
    return whole


class _Bash(BashComplete):
    source_template = BashComplete.source_template.replace(_BASH_ADD, _BASH_ADD_OPEN)

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that word, with its KEY=."""
        args, incomplete = super().get_completion_args()
        *args, last = joined([*args, incomplete])
        return args, last

    def format_completion(self, item: CompletionItem) -> str:
        """What bash inserts: after an `=` it replaces only what follows."""
        key, equals, value = str(item.value).partition("=")
        return f"{item.type},{value if equals and value else key + equals}"


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
    VNIs, MACs and the components that can be restarted. Load the script when the shell starts:
    """
    cls: type[ShellComplete] | None = get_completion_class(shell)
    assert cls is not None
    print(cls(ctx.find_root().command, {}, "vxlab", _VARIABLE).source())


__all__ = ["completion", "joined", "register"]
