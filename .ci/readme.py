"Make README.md from nbs/index.ipynb (no quarto): prose, code, and what the code printed and drew; hidden cells left out."
import base64, re, sys
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent

def readme() -> dict:
    "README.md and the pictures in it: path -> bytes."
    parts, files = [], {}
    for cell in nbformat.read(root/'nbs'/'index.ipynb', as_version=4).cells:
        source = cell.source.strip()
        if not source or source.startswith('#| hide'): continue
        if cell.cell_type=='markdown':
            parts.append(re.sub(r'\]\((images/|audio/|glossary\.md|\w+\.ipynb\))', r'](nbs/\1', source)); continue
        if not source.startswith('#| echo: false'): parts.append(f'```python\n{source}\n```')
        for o in cell.outputs:
            data = o.get('data', {})
            drawn = re.search(r'<img [^>]*alt="([^"]*)"[^>]*base64,([^"]+)"', ''.join(data.get('text/html', '')))
            if drawn:
                name = f'nbs/images/index-{len(files)+1}.png'
                files[name] = base64.b64decode(drawn[2]); parts.append(f'![{drawn[1]}]({name})')
            elif 'text/html' not in data and (text := (o.get('text', '') or data.get('text/plain', '')).strip()):
                parts.append('\n'.join('    '+line for line in text.splitlines()))
    return files | {'README.md': ('\n\n'.join(parts)+'\n').encode()}

if __name__=='__main__':
    made = readme()
    if sys.argv[1:]==['--check']: sys.exit(any(not (root/p).is_file() or (root/p).read_bytes()!=b for p, b in made.items()))
    for p, b in made.items(): (root/p).write_bytes(b)
