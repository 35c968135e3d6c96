"""Build the package, install the wheel alone, use it: python .ci/package.py [--keep] [PYTHON ...]

Without a PYTHON: the one that runs this. What is in sdist and wheel, whether settings.ini asks for what the package imports and no more,
then for each Python in a fresh environment, outside of the checkout and without the dev extras: what imports, what the command does,
and what it costs. --keep: environments stay, and say where."""
import ast, os, re, shutil, subprocess, sys, tarfile, tempfile, time, zipfile
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
ini = ConfigParser(delimiters=['=']); ini.read(root/'settings.ini', encoding='utf-8')
ini = ini['DEFAULT']
EXTRAS = ('dev', 'widgets', 'browser', 'cluster', 'site', 'wandb')
MODULES = {'pyyaml': 'yaml', 'sphinx-mathjax-offline': 'sphinx-mathjax-offline'}   # named otherwise than the package
BROUGHT = {'IPython': 'by the kernel of a notebook', 'matplotlib_inline': 'by the kernel', 'traitlets': 'by anywidget'}
TOLD = {'execnb', 'fastgit', 'ghapi', 'ipykernel', 'jupyterlab', 'nbdev', 'tensorboard', 'ruff'}  # programs, and what nbdev works with
failures = []

def say(ok, what):
    "Print what was found out."
    print('ok     ' if ok else 'FAILED ', what, flush=True)
    if not ok: failures.append(what)
    return ok

def sh(*words, **more):
    "Run a program, as if nothing pointed to the checkout."
    env = {k: v for k, v in os.environ.items() if k!='PYTHONPATH' and not k.startswith(('BSRNN_', 'IN_TEST'))}
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env, **more)
def name(requirement): return re.match(r'[\w.-]+', requirement)[0]

def build(tmp):
    "The sdist of a copy of the checkout, and the wheel that is built of nothing but that."
    shutil.copytree(root, tmp/'copy', ignore=shutil.ignore_patterns('.git', '.venv', 'data', 'outputs', '__pycache__', '*.egg-info', '.ipynb_checkpoints', '_site', 'build', 'dist'))
    sh(sys.executable, '-m', 'venv', tmp/'build').check_returncode()
    sh(tmp/'build'/'bin'/'pip', 'install', '-q', 'build').check_returncode()
    r = sh(tmp/'build'/'bin'/'python', '-m', 'build', '-o', tmp/'dist', tmp/'copy')
    if not say(r.returncode==0, 'the sdist is built, and from it the wheel'): sys.exit(r.stdout[-2000:]+r.stderr[-2000:])
    return next((tmp/'dist').glob('*.tar.gz')), next((tmp/'dist').glob('*.whl'))

def contents(sdist, wheel):
    "The wheel holds the modules and nothing else; no path of one machine."
    modules = {f'bsrnn/{p.name}' for p in (root/'bsrnn').glob('*.py')}
    with zipfile.ZipFile(wheel) as z:
        names = {n for n in z.namelist() if '.dist-info/' not in n}
        say(names==modules, f'the wheel holds {len(modules)} modules, its own records, and nothing else'+''.join(f', but {n}' for n in sorted(names^modules)))
        places = {n: m[0] for n in z.namelist() if (m := re.search(r'/(?:tmp|home|root|work|Users)/\w[^"\s]*', z.read(n).decode('utf-8')))}
        say(not places, f'no path of one machine in it{places or ""}')
        about = z.read(next(n for n in z.namelist() if n.endswith('METADATA'))).decode()
        wanted = {name(r) for r in re.findall(r'^Requires-Dist: ((?:(?!; extra).)*)$', about, re.M)}
        say(wanted=={name(r) for r in ini['requirements'].split()}, f'it asks for the {len(wanted)} requirements of settings.ini')
        extras = set(re.findall(r'^Provides-Extra: (.*)$', about, re.M)); say(extras==set(EXTRAS), f'and has the extras {", ".join(sorted(extras))}')
    print(f'        wheel {wheel.stat().st_size/1e3:.0f} kB, sdist {sdist.stat().st_size/1e3:.0f} kB')
    with tarfile.open(sdist) as t: names = [n for n in t.getnames() if n.endswith('.ipynb') or '/.ci/' in n]
    say(not names, 'no notebooks, no scripts in the sdist')

def imported(paths):
    "Module -> files that import it, anywhere in them; their own and the standard library's are left out."
    found = {}
    for p in paths:
        for n in ast.walk(ast.parse(p.read_text(encoding='utf-8'))):
            names = [a.name for a in n.names] if isinstance(n, ast.Import) else [n.module] if isinstance(n, ast.ImportFrom) and not n.level else []
            calls = [n.args[0].value] if isinstance(n, ast.Call) and ast.unparse(n.func) in ('importlib.util.find_spec', 'find_spec') and isinstance(n.args[0], ast.Constant) else []
            for top in {m.split('.')[0] for m in names+calls}-{*sys.stdlib_module_names, 'bsrnn'}: found.setdefault(top, set()).add(p.stem)
    return found

def requirements():
    "Every requirement is imported and has its reason; everything that is imported is required, by the package or an extra."
    text = (root/'settings.ini').read_text(encoding='utf-8')
    module = lambda r: MODULES.get(name(r), name(r).replace('-', '_'))
    theirs = imported((root/'bsrnn').glob('*.py'))
    named = {w for line in re.findall(r'^#   (\S.*?)  ', text, re.M) for w in re.split(r', *', line)}
    needed, extra = ({module(r) for kind in kinds for r in ini[kind].split()} for kinds in (['requirements'], [f'{e}_requirements' for e in EXTRAS]))
    say(needed<=set(theirs), f'each of the {len(needed)} requirements is imported'+''.join(f', but not {m}' for m in sorted(needed-set(theirs))))
    missing = {m: sorted(f) for m, f in theirs.items() if m not in needed|extra|set(BROUGHT)}
    say(not missing, f'each of the {len(theirs)} modules that are imported is asked for{", but not "+str(missing) if missing else ""}')
    silent = [r for kind in ('requirements', 'dev_requirements') for r in ini[kind].split() if name(r) not in named]
    silent += [e for e in EXTRAS[1:] if e not in named]
    say(not silent, 'each requirement, and each extra, has its reason in settings.ini'+''.join(f', but not {r}' for r in silent))
    import nbformat
    cells = [c.source for p in (root/'nbs').glob('*.ipynb') for c in nbformat.read(p, as_version=4).cells if c.cell_type=='code']
    used = '\n'.join([p.read_text(encoding='utf-8') for p in [*(root/'.ci').glob('*.py'), *(root/'bsrnn').glob('*.py')]]+cells)
    idle = [r for e in EXTRAS for r in ini[f'{e}_requirements'].split()
            if name(r) not in TOLD and not re.search(rf'\b({module(r)}|{name(r)})\b', used.replace('sphinx_copybutton', 'sphinx-copybutton').replace('myst_nb', 'myst-nb'))]
    say(not idle, 'each requirement of an extra is used'+''.join(f', but not {r}' for r in idle))

SONGS = """
import torch
from pathlib import Path
from bsrnn.audio import write
t = torch.arange(3*44100)/44100
for i, song in enumerate(['train/one', 'train/two', 'train/three', 'test/four']):
    for k, stem in enumerate(['vocals', 'drums', 'bass', 'other']):
        x = .1*torch.sin(2*torch.pi*(60+40*i)*(4**(k if stem!='drums' else 0))*t)*(t*(k+1)%1<.5)
        write(Path('songs')/song/f'{stem}.wav', x.repeat(2, 1), 44100)
write('song.flac', x.repeat(2, 1), 44100)
"""
QUIET = """
import sys
from bsrnn.cli import main
try: main([sys.argv[1]])
except SystemExit as e: assert not e.code
assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'it loads torch'
"""
IMPORTS = """
import importlib, sys
for m in sys.argv[1:]:
    try: importlib.import_module('bsrnn.'+m)
    except Exception as e: print(f'{m}: {type(e).__name__}: {str(e).splitlines()[0]}')
"""

def use(python, wheel, home):
    "Install the wheel alone for one Python, and use it; returns what it costs: (seconds, megabytes, seconds of `import bsrnn`)."
    version = sh(python, '-c', 'import platform; print(platform.python_version())').stdout.strip()
    print(f'--- Python {version}', flush=True)
    home.mkdir(); sh(python, '-m', 'venv', home/'v').check_returncode()
    py, bsrnn, began = home/'v'/'bin'/'python', home/'v'/'bin'/'bsrnn', time.time()
    r = sh(py, '-m', 'pip', 'install', '-q', wheel)
    took = time.time()-began
    if not say(r.returncode==0, f'installed in {took:.0f} s {r.stderr[-1000:] if r.returncode else ""}'): return version, took, 0, 0
    size = int(sh('du', '-sm', home/'v').stdout.split()[0])
    r = sh(py, '-m', 'pip', 'check'); say(r.returncode==0, f'pip check: {r.stdout.strip()}')
    def seconds(*words):
        began = time.time(); r = sh(*words, cwd=home); return time.time()-began if r.returncode==0 else float('nan')
    fast = {w: min(seconds(*words) for _ in range(3)) for w, words in {
        'import bsrnn': (py, '-c', 'import bsrnn'), 'bsrnn --help': (bsrnn, '--help'), 'import bsrnn.separate': (py, '-c', 'import bsrnn.separate')}.items()}
    for w, s in fast.items(): say(s==s, f'{w}: {s:.2f} s, best of three{", over two seconds" if s>2 else ""}')
    for w in ('--help', '--version'):
        r = sh(py, '-c', QUIET, w, cwd=home); say(r.returncode==0, f'bsrnn {w} loads no torch {r.stderr.strip()[-300:]}')
    r = sh(py, '-c', IMPORTS, *sorted(p.stem for p in (root/'bsrnn').glob('*.py')), cwd=home)
    for line in r.stdout.splitlines(): say("pip install 'bsrnn[" in line, f'import bsrnn.{line}')
    say(r.returncode==0, f'every other module imports {r.stderr[-300:] if r.returncode else ""}')
    sh(py, '-c', SONGS, cwd=home).check_returncode()
    for words in (['train', '--target', 'bass', '--data', 'songs', '--preset', 'smoke', '--demo-share', '0'], ['separate', 'song.flac'],
                  ['weights'], ['completion', 'bash']):
        began = time.time(); r = sh(bsrnn, *words, cwd=home)
        say(r.returncode==0, f'bsrnn {" ".join(words)}: {time.time()-began:.1f} s {(r.stdout+r.stderr)[-1500:] if r.returncode else ""}')
    r = sh(py, '-c', "from bsrnn.audio import info; a, b = info('song.flac'), info('separated/song/bass.wav'); assert a.seconds==b.seconds, (a, b)", cwd=home)
    say(r.returncode==0, f'the part is as long as the song {r.stderr[-300:]}')
    r = sh(bsrnn, 'train', '--target', 'bass', cwd=home)
    say(r.returncode==1 and r.stderr.startswith('bsrnn: ') and 'bsrnn[dev]' in r.stderr, f'without songs and without the renderer a sentence: {r.stderr.strip()[-300:]}')
    r = sh(py, '-m', 'pip', 'install', '-q', 'bsrnn[widgets]', cwd=home)
    lacking = r.returncode or sh(py, '-c', 'import bsrnn.widgets, bsrnn.explorers, bsrnn.panels', cwd=home).returncode
    say(not lacking, f"pip install 'bsrnn[widgets]', as that sentence says, is all they need {r.stderr[-300:] if lacking else ''}")
    return version, took, size, fast['import bsrnn']

if __name__=='__main__':
    pythons, keep, costs = [a for a in sys.argv[1:] if a!='--keep'] or [sys.executable], '--keep' in sys.argv, []
    tmp = Path(tempfile.mkdtemp(prefix='bsrnn-package-'))
    try:
        requirements()
        sdist, wheel = build(tmp)
        contents(sdist, wheel)
        for i, python in enumerate(pythons):
            costs.append(use(python, wheel, tmp/str(i)))
            if not keep: shutil.rmtree(tmp/str(i))
    finally:
        if keep: print('kept:', tmp)
        else: shutil.rmtree(tmp)
    for version, took, size, s in costs: print(f'Python {version}: installed in {took:.0f} s, {size} MB, import bsrnn {s:.2f} s')
    print(f'{len(costs)} Pythons, {len(failures)} failed')
    sys.exit(bool(failures))
