"Check the repository: export fresh, notebooks clean, chapters in order, experiments with parameters, README from its notebook."
import ast, copy, filecmp, re, shutil, subprocess, sys, tempfile
from pathlib import Path
import nbformat
from book import chapters
from execute import fingerprint, saved
from fold import fold

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

PARTS = ('- **You will be able to**', '- **You need**', '- **It takes**', '## Common mistakes\n', '## Summary\n', '## Exercises\n', '## Further reading\n')

def course():
    "Every chapter has its frame: what it is for and what it takes, mistakes, a summary, three exercises with solutions, reading."
    for p, nb in notebooks.items():
        if number(p) is None: continue
        text = '\n'.join(c.source for c in nb.cells if c.cell_type=='markdown')
        at = [text.find(part) for part in PARTS]
        if -1 in at or at!=sorted(at): yield f'{p.name}: expected, in this order: {", ".join(PARTS).replace(chr(10), "")}'
        if not re.search(r'^- \*\*It takes\*\* .*\d+ (s|seconds?) to run', text, re.M): yield f'{p.name}: its time to run is not stated'
        if m := re.search(r'^-\s+\*\*.*:.*$', nb.cells[0].source, re.M): yield f'{p.name}: nbdev reads a list line with a colon as YAML and warns: {m[0][:60]!r}'
        long = [line for c in code(nb) for line in c.source.splitlines() if len(line)>110]
        if long: yield f'{p.name}: {len(long)} lines of code are longer than 110 characters, first {long[0][:60]!r}'
        asked = [int(n) for c in code(nb) for n in re.findall(r'^exercise\((\d+),', c.source, re.M) if n!='0']
        if len(asked)<6 or asked!=[n for n in range(1, len(asked)//2+1) for _ in '12']: yield f'{p.name}: expected three exercises or more, each asked and then solved; found the numbers {asked}'

def folded():
    "Cells with noise, and solutions, are folded in JupyterLab and on the site."
    for p, nb in notebooks.items():
        if fold(copy.deepcopy(nb)): yield f'{p.name}: run python .ci/fold.py'

def pictures():
    "Every saved picture has its description, no output is longer than a screen, no solution is wrong."
    for p, nb in notebooks.items():
        for c in code(nb):
            for o in c.outputs:
                html = ''.join(o.get('data', {}).get('text/html', ''))
                for img in re.findall(r'<img [^>]{0,300}', html):
                    if not re.search(r'alt="[^"]{15,}', img): yield f'{p.name}: a picture without alt text, drawn by {c.source.splitlines()[0]!r}'
                if 'image/png' in o.get('data', {}): yield f'{p.name}: a picture without description; start_chapter() sets the style'
                text = ''.join(o.get('text', '') or o.get('data', {}).get('text/plain', ''))
                if text.count('\n')>45: yield f'{p.name}: an output of {text.count(chr(10))} lines, expected at most 45'
                if re.search(r'^Exercise [1-9]\d*: not yet', text, re.M): yield f'{p.name}: a solution does not hold: {text.strip()}'

def executed():
    "The saved outputs of a chapter come from the code that stands in it."
    old = saved()
    for p, nb in notebooks.items():
        if (number(p) is not None or p.stem=='index') and old.get(p.stem)!=fingerprint(nb): yield f'{p.name}: run python .ci/execute.py {p.stem}'

def lint():
    "No name is used that is not there, nothing is imported for nothing (ruff's F rules), in the package, the notebooks and here."
    # a name may be given away in a pattern (F841), and a test import again what the export has (F811)
    ran = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--quiet', '--output-format=concise', '--select=F', '--ignore=F811,F841', 'bsrnn', 'nbs', 'setup.py', '.ci'], cwd=root, capture_output=True, text=True)
    yield from (ran.stdout+ran.stderr).splitlines()

def types():
    "The package's type hints are true (mypy; functions without hints are not looked into)."
    # our empty lists and dicts say what they hold by what is put in
    ran = subprocess.run([sys.executable, '-m', 'mypy', '--ignore-missing-imports', '--disable-error-code=var-annotated', '--no-error-summary', 'bsrnn'], cwd=root, capture_output=True, text=True)
    yield from (ran.stdout+ran.stderr).splitlines()

def commands():
    "Every command that a document shows is understood by the program it calls; python .ci/commands.py runs them."
    ran = subprocess.run([sys.executable, root/'.ci'/'commands.py', '--parse'], cwd=root, capture_output=True, text=True)
    if ran.returncode: yield from (ran.stdout+ran.stderr).splitlines()[:-1]

def chapter_map():
    "The index lists every page, and nothing else."
    try: chapters()
    except SystemExit as e: yield str(e)

def links():
    "Every file that the README, the glossary or a notebook links to is there."
    texts = {p: p.read_text(encoding='utf-8') for p in (root/'README.md', root/'nbs'/'glossary.md')}
    texts |= {p: '\n'.join(c.source for c in nb.cells if c.cell_type=='markdown') for p, nb in notebooks.items()}
    for p, text in texts.items():
        for target in re.findall(r'\]\(([^)#]+)\)', text):
            if '://' not in target and not (p.parent/target).exists(): yield f'{p.name}: {target} is not there'

def readme():
    "README.md is made from index.ipynb."
    if subprocess.run([sys.executable, root/'.ci'/'readme.py', '--check']).returncode: yield 'README.md is not what index.ipynb makes; run python .ci/readme.py'

if __name__=='__main__':
    failed = 0
    checks = (stale, order, parameters, outputs, course, folded, pictures, executed, lint, types, commands, chapter_map, links, readme)
    for check in checks:
        found = list(check())
        failed += bool(found)
        print('FAILED' if found else 'ok    ', check.__doc__, *(f'\n       {f}' for f in found), sep=' ')
    print(f'{len(checks)-failed} passed, {failed} failed')
    sys.exit(failed>0)
