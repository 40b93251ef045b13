"""Files to start from: a commented study, and components of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gan.errors import InputError
from studies import schema

HERE: Final = Path(__file__).parent
STUDY: Final = HERE / "study.toml"
PLUGIN: Final = HERE / "plugin.py"

# What a study with a plugin says in place of the template's own line.
WITH_PLUGIN: Final = {
    'discriminator = "mlp"               # images: or "conv"\n': (
        'generator = "residual"              # of the plugin\ndiscriminator = "mlp"               # images: or "conv"\n'
    ),
    'loss = ["non_saturating", "saturating"] # or "wasserstein"\n': (
        'loss = ["non_saturating", "hinge"]  # hinge: of the plugin\n'
    ),
    'sampling = "eval"                   # BatchNorm while sampling; or "train"\n': (
        'sampling = "eval"                   # BatchNorm while sampling; or "train"\n'
        'scores = ["transport"]              # of the plugin, beside those of the target\n'
    ),
    'question = "Does the saturating loss lose more modes than the non-saturating one?"\n': (
        'question = "Does the hinge loss bring samples nearer to the target than the non-saturating one?"\n'
    ),
    'score = "ks"\n': 'score = "transport"\n',
    "claims = [4]\n": "claims = []\n",
    "#   ganbench run THIS.toml --scale smoke      try it (seconds)\n": (
        "#   ganbench run THIS.toml --scale smoke --plugin THIS_plugin      try it (seconds)\n"
    ),
    "#   ganbench run THIS.toml                    run it at laptop scale and compile its report\n": (
        "#   ganbench run THIS.toml --plugin THIS_plugin       run it at laptop scale and compile its report\n"
    ),
}


def write(name: str, plugin: bool, force: bool) -> list[Path]:
    """Write `NAME.toml` in the current directory, and `NAME_plugin.py` where a plugin is wanted.

    Returns:
        What was written, the study first.

    Raises:
        InputError: The name cannot be a study's, or there is a file that is not to be overwritten.
    """
    schema.check_name(name, name)
    contents = {Path(f"{name}.toml"): STUDY.read_text(encoding="utf-8")}
    if plugin:
        (study,) = contents
        for plain, with_plugin in WITH_PLUGIN.items():
            contents[study] = contents[study].replace(plain, with_plugin)
        module = Path(f"{name.replace('-', '_')}_plugin.py")  # a name that Python can import
        contents[study] = contents[study].replace("THIS_plugin", module.stem)
        contents[module] = PLUGIN.read_text(encoding="utf-8")
    for path in contents:
        if path.exists() and not force:
            raise InputError(f"{path}: there is a file of that name; expected another name, or --force")
    for path, content in contents.items():
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return list(contents)
