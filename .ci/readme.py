"Make README.md from nbs/index.ipynb (no quarto): prose, code, and what the code printed; hidden cells left out."
import re, sys
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent

def readme() -> str:
    "The text of README.md."
    parts = []
    for cell in nbformat.read(root/'nbs'/'index.ipynb', as_version=4).cells:
        source = cell.source.strip()
        if not source or source.startswith('#| hide'): continue
        if cell.cell_type=='markdown': parts.append(re.sub(r'\]\((images/|\w+\.ipynb\))', r'](nbs/\1', source)); continue
        parts.append(f'```python\n{source}\n```')
        text = ''.join(o.get('text', '') or o.get('data', {}).get('text/plain', '') for o in cell.outputs)
        if text.strip(): parts.append('\n'.join('    '+line for line in text.strip().splitlines()))
    return '\n\n'.join(parts)+'\n'

if __name__=='__main__':
    if sys.argv[1:]==['--check']: sys.exit((root/'README.md').read_text(encoding='utf-8')!=readme())
    (root/'README.md').write_text(readme(), encoding='utf-8')
