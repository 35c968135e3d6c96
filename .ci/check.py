"Check the repository: export fresh, notebooks clean, chapters in order, experiments with parameters, README from its notebook."
import ast, filecmp, re, shutil, subprocess, sys, tempfile
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
notebooks = {p: nbformat.read(p, as_version=4) for p in sorted((root/'nbs').glob('*.ipynb'))}

def code(nb): return [c for c in nb.cells if c.cell_type=='code']
def number(path):
    m = re.match(r'(\d+)_', path.name)
    return int(m[1]) if m else None

def stale():
    "bsrnn/ is what the notebooks export, and the notebooks are what nbdev_clean leaves."
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/'p'
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns('.git', '.venv', 'data', 'outputs', '__pycache__', '*.egg-info', '.ipynb_checkpoints'))
        shutil.rmtree(copy/'bsrnn'); (copy/'bsrnn').mkdir()
        for command in ('nbdev_export', 'nbdev_clean'): subprocess.run([Path(sys.executable).with_name(command)], cwd=copy, check=True, stdout=subprocess.DEVNULL)
        for folder, what in [('bsrnn', 'not what the notebooks export; run nbdev_export'), ('nbs', 'not clean; run nbdev_clean')]:
            names = {p.name for d in (root, copy) for p in (d/folder).iterdir() if p.suffix in ('.py', '.ipynb')}
            for name in sorted(names):
                a, b = root/folder/name, copy/folder/name
                if not (a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False)): yield f'{folder}/{name}: {what}'

def imported(source):
    "Modules of bsrnn that a cell imports when it runs (not those that its functions import when they are called)."
    try: tree = ast.parse(re.sub(r'^[!%].*', '', source, flags=re.M))
    except SyntaxError: return
    now = [top for top in tree.body if not isinstance(top, (ast.FunctionDef, ast.ClassDef))]
    for node in (n for top in now for n in ast.walk(top)):
        if isinstance(node, ast.Import): yield from (a.name.split('.')[1] for a in node.names if a.name.startswith('bsrnn.'))
        if isinstance(node, ast.ImportFrom) and node.module=='bsrnn': yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('bsrnn.'): yield node.module.split('.')[1]

def order():
    "A chapter imports only from chapters with smaller numbers."
    home = {}
    for p, nb in notebooks.items():
        for c in code(nb):
            m = re.search(r'^#\|\s*default_exp\s+(\S+)', c.source, re.M)
            if m: home[m[1]] = p
    for p, nb in notebooks.items():
        if number(p) is None: continue
        for c in code(nb):
            for module in imported(c.source):
                if module in home and number(home[module])>number(p): yield f'{p.name} imports bsrnn.{module}, which the later chapter {home[module].name} exports'

def parameters():
    "An experiment (no number, not the index) has a cell tagged parameters; nothing else has."
    for p, nb in notebooks.items():
        tagged = sum('parameters' in c.metadata.get('tags', []) for c in code(nb))
        wanted = int(number(p) is None and p.stem!='index' and not p.name.startswith('_'))
        if tagged!=wanted: yield f'{p.name}: {tagged} cells tagged "parameters", expected {wanted}'

def outputs():
    "No saved error, no path of one machine, no notebook over 1 MB."
    for p, nb in notebooks.items():
        if p.stat().st_size>1e6: yield f'{p.name}: {p.stat().st_size/1e6:.1f} MB, expected at most 1'
        if any(o.output_type=='error' for c in code(nb) for o in c.outputs): yield f'{p.name}: an error is saved in it'
        for path in re.findall(r'/(?:tmp|home|root|work|Users)/[^"\\\s]+', p.read_text(encoding='utf-8')): yield f'{p.name}: {path} is a path of one machine'

def links():
    "Every file that the README or a notebook links to is there."
    texts = {root/'README.md': (root/'README.md').read_text(encoding='utf-8')}
    texts |= {p: '\n'.join(c.source for c in nb.cells if c.cell_type=='markdown') for p, nb in notebooks.items()}
    for p, text in texts.items():
        for target in re.findall(r'\]\(([^)#]+)\)', text):
            if '://' not in target and not (p.parent/target).exists(): yield f'{p.name}: {target} is not there'

def readme():
    "README.md is made from index.ipynb."
    if subprocess.run([sys.executable, root/'.ci'/'readme.py', '--check']).returncode: yield 'README.md is not what index.ipynb makes; run python .ci/readme.py'

if __name__=='__main__':
    failed = 0
    checks = (stale, order, parameters, outputs, links, readme)
    for check in checks:
        found = list(check())
        failed += bool(found)
        print('FAILED' if found else 'ok    ', check.__doc__, *(f'\n       {f}' for f in found), sep=' ')
    print(f'{len(checks)-failed} passed, {failed} failed')
    sys.exit(failed>0)
