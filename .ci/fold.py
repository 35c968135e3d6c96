"""Fold cells with noise, and solutions, in all notebooks. JupyterLab reads `source_hidden`, the site the tag `hide-cell`.

`#| hide`: code and output; `#| echo: false`: the code only."""
import re
from pathlib import Path
import nbformat

def fold(nb) -> bool:
    "Mark the cells of a notebook; says whether anything changed."
    solved, before = set(), nbformat.writes(nb)
    for c in nb.cells:
        if c.cell_type!='code': continue
        n = re.search(r'^exercise\(([1-9]\d*),', c.source, re.M)
        wanted = c.source.startswith(('#| hide', '#| default_exp')) or (n is not None and n[1] in solved)
        if n: solved.add(n[1])
        silent = c.source.startswith('#| echo: false')
        tags = [t for t in c.metadata.get('tags', []) if t not in ('hide-cell', 'hide-input')]
        tags += ['hide-cell']*wanted+['hide-input']*silent
        hidden = {'source_hidden': True} if wanted or silent else {}
        if wanted and n is not None: hidden['outputs_hidden'] = True             # no answer is seen before it is found
        for key, value in [('tags', tags), ('jupyter', hidden)]:
            if value: c.metadata[key] = value
            else: c.metadata.pop(key, None)
    return nbformat.writes(nb)!=before

if __name__=='__main__':
    for path in sorted((Path(__file__).resolve().parent.parent/'nbs').glob('*.ipynb')):
        nb = nbformat.read(path, as_version=4)
        if fold(nb):
            path.write_text(nbformat.writes(nb)+'\n', encoding='utf-8')
            print('folded', path.name)
