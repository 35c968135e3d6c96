"""Execute chapters one after the other, alone on the machine, and save what they print, draw and play: python .ci/execute.py [NAME ...]

Without names: those whose saved outputs are older than their code. Writes the time it took into the chapter's first cell, and what was executed into executed.json."""
import hashlib, json, math, re, subprocess, sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient

nbs = Path(__file__).resolve().parent.parent/'nbs'
record = Path(__file__).with_name('executed.json')

def fingerprint(nb) -> str:
    "Of a notebook's code: comments and all, outputs not."
    return hashlib.sha1('\0'.join(c.source for c in nb.cells if c.cell_type=='code').encode()).hexdigest()[:16]

def saved() -> dict:
    "Name of a chapter -> fingerprint of the code that its saved outputs come from."
    return json.loads(record.read_text()) if record.exists() else {}

def chapters() -> list:
    "Notebooks that are read with their outputs: the numbered ones and the index."
    return [p for p in sorted(nbs.glob('*.ipynb')) if p.stem=='index' or p.stem[0].isdigit()]

def execute(path) -> float:
    "Execute a notebook and save it; returns the seconds it took."
    nb = nbformat.read(path, as_version=4)
    began = time.time()
    NotebookClient(nb, timeout=900, kernel_name='python3', store_widget_state=False, resources={'metadata': {'path': str(nbs)}}).execute()
    took = time.time()-began
    seconds = max(5, 5*math.ceil(took/5))
    nb.cells[0].source = re.sub(r'\d+ s(econds)? to run', f'{seconds} s to run', nb.cells[0].source)
    path.write_text(nbformat.writes(nb)+'\n', encoding='utf-8')
    subprocess.run([Path(sys.executable).with_name('nbdev_clean'), '--fname', path], check=True)
    record.write_text(json.dumps(dict(sorted((saved() | {path.stem: fingerprint(nb)}).items())), indent=1)+'\n')
    return took

if __name__=='__main__':
    old = saved()
    todo = [p for p in chapters() if (p.stem in sys.argv[1:] if sys.argv[1:] else old.get(p.stem)!=fingerprint(nbformat.read(p, as_version=4)))]
    for p in todo: print(f'{p.stem}: {execute(p):.0f} s', flush=True)
