"""Run every command that the documents show: python .ci/commands.py [--parse] [PART ...]

Takes the commands out of README.md, the glossary, the notebooks' texts and the help of `bsrnn`, and runs each as it stands in a copy
of the project with small songs, a small model and the files that they name. What cannot run here is parsed: see PARSED. --parse: parse
all, run none (seconds). PART: only commands that hold one of these texts. What is changed before a line runs: NAMED, SMALL, IN_TEST."""
import ast, io, os, re, resource, shlex, shutil, signal, subprocess, sys, tempfile, threading, time
from configparser import ConfigParser
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen
import nbformat
from packaging.requirements import Requirement
from papermill.cli import _resolve_type

root = Path(__file__).resolve().parent.parent
PROGRAMS = r'bsrnn|papermill|jupyter|pip|nbdev_\w+|python3?|torchrun|fabric|srun|sbatch|tensorboard|git|wandb|eval(?= )'

PARSED = {  # what is only parsed, and why
    r"^python3 -m venv": '.ci/run runs it, word by word',
    r'browser\.py': '.ci/run runs it',
    r'^pip install (?!.*&&)': 'installs from the network; .ci/package.py installs the package',
    r'obsrnn-simo': 'downloads 1.2 GB; chapter 26 tests downloads with a server',
    r'^papermill nbs/benchmark_training': 'nbdev_test runs it small, in a minute',
    r'^papermill nbs/(labelnoise|benchmark_model)\.ipynb$|labelnoise.*STEMS': 'the same notebook with more parameters is run',
    r'^(bsrnn|papermill|torchrun|srun|nbdev_test)$|^fabric run$|^bsrnn (separate|convert|completion)$': 'only a name',
    r'^-': 'only an option'}
if not find_spec('myst_nb'): PARSED[r'book\.py'] = 'needs the extra "site"'

WRONG = {  # mistakes on purpose: they must not be understood
    r'^bsrnn seprate x\.wav$': 'an exercise: exit code 2', r'^-p targt bass$': "chapter 33's misspelt parameter",
    r'^--split$': "another project's option"}

NAMED = {  # words that stand for others, and cannot be names of files here
    '/path/to/': 'path/to/', 'data/demo-v1': 'musdb18hq', 'papermill ...': 'papermill nbs/leaderboard.ipynb', '-p target ...': '-p target drums',
    '-p grid \'{"target": ["bass"], ': '-p grid \'{"preset": ["smoke"], "demo_share": [0], "target": ["bass"], ',
    "pip install -q -e '.[dev,site]' && python": 'python', '--model their.ckpt': 'bsrnn separate song.mp3 --model their.ckpt',
    '--model outputs/train-bass-20261123-060000': 'bsrnn separate song.mp3 --model outputs/train-bass-20261123-060000'}

SMALL = {  # what is added to a line, so that it takes seconds
    r'^papermill nbs/train': '-p preset smoke -p minutes 0 -p steps 3 -p demo_share 0',
    r'^bsrnn train(?!.*--help)': '--preset smoke --minutes 0 --steps 3 --demo-share 0',
    r'^papermill nbs/labelnoise': '-p preset smoke -p minutes 0 -p steps 3 -p seeds 1',
    r'^papermill nbs/sweep': '-p jobs 2',
    r'^jupyter lab': '--allow-root',
    r'^eval ': '&& complete -p bsrnn'}
IN_TEST = r'^papermill nbs/benchmark'              # runs with IN_TEST=1: the notebook makes itself small

def texts():
    "Name -> text of every document."
    for p in (root/'README.md', root/'nbs'/'glossary.md'): yield p.name, p.read_text(encoding='utf-8')
    for p in sorted((root/'nbs').glob('*.ipynb')):
        yield p.stem, '\n'.join(c.source for c in nbformat.read(p, as_version=4).cells if c.cell_type=='markdown')
    from bsrnn.cli import _parser
    commands = next(a for a in _parser()._actions if a.dest=='command').choices
    for name, parser in commands.items(): yield f'bsrnn {name} --help', parser.format_help()

def found() -> dict:
    "Command -> names of the documents that show it."
    commands = {}
    for name, text in texts():
        lines = [l for kind, body in re.findall(r'^```(\w*)\n(.*?)^```', text, re.M | re.S) for l in body.splitlines()
                 if kind in ('sh', 'bash') or l.startswith('next: ')]
        lines += re.findall(r'^  (\S.*)', text.partition('\nexamples:\n')[2], re.M) if name.endswith('--help') else []
        if name=='README.md': lines += ['python - <<END\n'+b+'END' for b in re.findall(r'^```py\n(.*?)^```', text, re.M | re.S)]
        inline = re.findall(r'`([^`\n]+)`', re.sub(r'^```.*?^```', '', text, flags=re.M | re.S))
        lines += [c for c in inline if re.match(rf'({PROGRAMS})( |$)|-p |--[a-z]', c)]
        for line in lines:
            line = re.sub(r'\s+# .*', '', line) if '\n' not in line else line
            commands.setdefault(line.removeprefix('next: ').strip(), {})[name] = True
    return {c: list(names) for c, names in commands.items() if c}

def reason(table, line) -> str:
    "What a table says about a line, or the empty text."
    return next((why for pattern, why in table.items() if re.search(pattern, line)), '')

def real(line) -> str:
    "The line, with words for those that stand for others."
    for old, new in NAMED.items(): line = line.replace(old, new)
    return line

class Misread(Exception): pass

def expect(truth, what):
    if not truth: raise Misread(what)

cells = {}
def experiment(path, given):
    "Would this notebook take these parameters? Its own cells say so: the parameters, the imports, and `check_params`."
    if path not in cells:
        codes = [c for c in nbformat.read(root/path, as_version=4).cells if c.cell_type=='code']
        table, body = next(c.source for c in codes if 'parameters' in c.metadata.get('tags', [])), next(c.source for c in codes if 'check_params(' in c.source)
        wanted = [n for n in ast.parse(body).body if isinstance(n, (ast.Import, ast.ImportFrom)) or 'check_params(' in ast.unparse(n)][:99]
        cells[path] = compile(table, path, 'exec'), [compile(ast.Module([n], []), path, 'exec') for n in wanted]
    table, body = cells[path]
    names = {}
    exec(table, names)
    unknown = set(given)-set(names)
    expect(not unknown, f'{path} has no parameter {", ".join(unknown)}')
    names.update({k: _resolve_type(v) for k, v in given.items()})
    for code in body: exec(code, names)

def papermill(words):
    "A notebook that is there, parameters that it has, values that it takes."
    given, rest, words = {}, [], list(words)
    while words:
        word = words.pop(0)
        if word=='-p': given |= [(words.pop(0), words.pop(0))]
        else: rest.append(word)
    expect([w for w in rest if w.startswith('-')] in ([], ['--help-notebook']), f'unknown options in {rest}')
    path, = [w for w in rest if not w.startswith('-')]
    expect((root/path).is_file(), f'{path} is not there')
    experiment(path, given)

def bsrnn(words):
    "Words that the command's own parser takes; of a training, values that it takes."
    from bsrnn.cli import _parser
    from bsrnn.experiment import check_params
    from bsrnn.parameters import TRAIN, rules
    if words in ([], ['separate'], ['convert'], ['completion']): words = words+['--help']
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()): a = _parser().parse_args(words)
    except SystemExit as e: return expect(not e.code, said.getvalue().strip().splitlines()[-1:])
    if a.command=='train': check_params({k: vars(a)[k] for k in TRAIN}, **rules(TRAIN))

def pip(words):
    "Names of packages, and extras that settings.ini has."
    ini = ConfigParser(delimiters=['=']); ini.read(root/'settings.ini', encoding='utf-8')
    expect(words[0]=='install' and words[1:], 'expected pip install ...')
    for word in (w for w in words[1:] if not w.startswith('-')):
        wanted = Requirement('bsrnn'+word.removeprefix('.') if word.startswith('.') else word)
        for extra in wanted.extras if wanted.name=='bsrnn' else (): expect(f'{extra}_requirements' in ini['DEFAULT'], f'there is no extra {extra}')

def python(words):
    "A file that is there, or a module."
    if words[0]=='-m': expect(find_spec(words[1]), f'there is no module {words[1]}')
    else: expect((root/words[0]).is_file(), f'{words[0]} is not there')

def option(words):
    "An option of `bsrnn`, or a parameter of some experiment, with its value if there is one."
    if words[0]=='-p':
        for path in ('nbs/'+p.name for p in sorted((root/'nbs').glob('[a-z]*.ipynb')) if p.stem!='index'):
            table = next(c.source for c in nbformat.read(root/path, as_version=4).cells if 'parameters' in c.metadata.get('tags', []))
            if words[1:2] and not re.search(rf'^{words[1]}:', table, re.M): continue
            return experiment(path, dict([words[1:3]])) if len(words)>2 else None
        raise Misread(f'no experiment has a parameter {words[1]}')
    from bsrnn.cli import _parser
    commands = next(a for a in _parser()._actions if a.dest=='command').choices.values()
    expect(any(words[0] in c._option_string_actions for c in commands), f'no command has the option {words[0]}')

PARSERS = dict(papermill=papermill, bsrnn=bsrnn, pip=pip, python=python, python3=python, eval=lambda w: parse(w[0][2:-1]))

def parse(line):
    "Raises an error if a line holds words that its programs do not know."
    if line.startswith('python - <<'): return compile(line.partition('\n')[2].removesuffix('END'), 'README', 'exec')
    if line.startswith('-'): return option(shlex.split(line))
    for piece in re.split(r'&&|\|', line):
        words = shlex.split(piece.replace('<&-', ''))
        program, rest = words[0], words[1:]
        if program in ('.', 'srun'): continue                  # a new shell's environment; a cluster's program
        if program in PARSERS and (rest or program=='bsrnn'): PARSERS[program](rest)
        elif program=='jupyter': expect((root/rest[1]).is_file(), f'{rest[1]} is not there')
        else: expect(shutil.which(program, path=PATH) and len(rest)<2, f'no rule says how to parse {piece!r}')

PATH = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'

def run(line, cwd, test=False, **more):
    "Run a line by bash, as somebody with an empty home would; (exit code, what it said)."
    env = {k: v for k, v in os.environ.items() if not k.startswith(('BSRNN_', 'IN_TEST'))}
    env |= dict(PATH=PATH, PYTHONPATH=str(cwd), HOME=str(cwd.parent/'home'), BROWSER='echo opens %s', **dict(IN_TEST='1', BSRNN_OUTPUTS=str(cwd/'outputs')) if test else {})
    p = subprocess.Popen(['bash', '-o', 'pipefail', '-c', line], cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, start_new_session=True)
    if re.match('jupyter lab', line): return answers(p)
    try: said = p.communicate(timeout=300)[0]
    except subprocess.TimeoutExpired: os.killpg(p.pid, signal.SIGKILL); return 124, 'took longer than 300 s\n'+p.communicate()[0]
    return p.returncode, said

def answers(p):
    "JupyterLab: the page that it would open shows the notebook, which its server has; then it is stopped."
    said, code, late = '', 1, threading.Timer(60, os.killpg, (p.pid, signal.SIGKILL))
    late.start()
    for line in p.stdout:
        said += line
        if m := re.match(r'opens file://(\S+)', line):
            page = re.search(r'http\S+/lab/tree/\S+\?token=\w+', Path(m[1]).read_text())[0]
            code = int(any(urlopen(url, timeout=30).status!=200 for url in (page, page.replace('/lab/tree/', '/api/contents/')))); break
    late.cancel(); os.killpg(p.pid, signal.SIGTERM); said += p.communicate()[0]
    return code, said

def checkpoint(path):
    "A small checkpoint of another project: chapter 25 writes one."
    import torch
    from bsrnn.model import BSRNN, preset_config
    code = next(c.source for c in nbformat.read(root/'nbs'/'25_importers.ipynb', as_version=4).cells if 'def as_magronp' in c.source)
    names = {'torch': torch}
    exec(code.partition('def as_crlandsc')[0].partition('\n')[2], names)
    model = BSRNN(preset_config('paper', 'vocals', mask_factor=2, n_feats=8, n_layers=1, hop=512, eps=1e-7))
    torch.save({'state_dict': names['as_magronp'](model), 'hyper_parameters': {'targets': ['vocals']}}, path)

def furnish(project):
    "Everything the commands name: songs, datasets, a model, an evaluation, estimates, checkpoints."
    sys.path.insert(0, str(project)); os.chdir(project)
    from bsrnn.audio import write
    from bsrnn.demo import demo_dataset, toy_track
    data = demo_dataset(project/'musdb18hq', n_train=4, n_test=1, seconds=6, progress=False)
    for link in ('FOLDER', 'STEMS', 'SONGS', 'data/musdb18hq', 'path/to/musdb18hq', 'path/to/stems', 'path/to/dataset', 'path/to/songs'):
        (project/link).parent.mkdir(parents=True, exist_ok=True); (project/link).symlink_to(data)
    song = toy_track().mixture()[:, :4*44100]
    for name in ('song.mp3', 'SONG.mp3', 'albums/One/first.flac', 'albums/One/second.mp3', 'albums/Two/third.wav'):
        (project/name).parent.mkdir(parents=True, exist_ok=True); write(project/name, song, 44100)
    for name in ('vocals.ckpt', 'their.ckpt'): checkpoint(project/name)
    for line, kind, name in [('bsrnn train --target bass --data musdb18hq --preset smoke --demo-share 0', 'train', 'train-bass-20261123-060000'),
                             ('papermill nbs/evaluate.ipynb -p keep true', 'evaluate', 'evaluate-20261123-080000')]:
        code, said = run(line, project)
        if code: sys.exit(f'{line}: exit code {code}\n{said}')
        next((project/'outputs').glob(f'{kind}-*')).rename(project/'outputs'/name)
    shutil.copytree(project/'outputs'/'train-bass-20261123-060000', project/'outputs'/'RUN')
    shutil.copytree(project/'outputs'/'evaluate-20261123-080000'/'audio', project/'folder'/'of'/'estimates')

def state(project): return {p: p.stat().st_mtime_ns for p in project.rglob('*') if p.is_file() and '__pycache__' not in p.parts}

def execute(line, project):
    "Run a line for real; (seconds, what is wrong or nothing, the line as it ran, how many files it wrote)."
    small = reason(SMALL, real(line))
    line, test = f'{real(line)} {small}'.strip(), bool(re.search(IN_TEST, real(line)))
    for made in ('separated', 'stems', 'vocals.safetensors', 'bass.wav', '_site'): subprocess.run(['rm', '-rf', project/made])
    before, began = state(project), time.time()
    code, said = run(line, project, test)
    took, written = time.time()-began, len(set(state(project).items())-set(before.items()))
    wanted = 2 if reason(WRONG, line) else 0
    makes = re.match(r'papermill(?!.*--help)|bsrnn (train|separate|convert)(?!.*(--help|--dry-run))|python', line)
    wrong = (f'exit code {code}, expected {wanted}' if code!=wanted else 'a traceback' if 'Traceback (most' in said
             else 'it wrote no file' if makes and not written else '')
    return took, wrong and f'{wrong}\n{said[-3000:]}', line+' (IN_TEST=1)'*test, written

def used() -> float:
    "Seconds that processors worked for this process and those that it started."
    return sum(u.ru_utime+u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))

if __name__=='__main__':
    only, quick, began = [a for a in sys.argv[1:] if a!='--parse'], '--parse' in sys.argv, time.time()
    everything, failed, ran = found(), [], 0
    todo = [c for c in everything if not only or any(o in c for o in only)]
    stale = [p for t in (PARSED, WRONG, SMALL, {IN_TEST: ''}) for p in t if not any(re.search(p, real(c)) or re.search(p, c) for c in everything)]
    stale += [w for w in NAMED if not any(w in c for c in everything)]
    for s in stale: failed.append(s); print(f'FAILED  {s!r} in a table of this file is in no command')
    for c in todo:
        try: parse(real(c)); wrong = 'a mistake on purpose is understood' if reason(WRONG, c) else ''
        except Exception as e: wrong = '' if reason(WRONG, c) else f'{type(e).__name__}: {e}'
        if wrong: failed.append(c); print(f'FAILED  {c}: {wrong} ({", ".join(everything[c])})')
    if not quick:
        with tempfile.TemporaryDirectory() as tmp:
            project = Path(tmp)/'bsrnn'; (Path(tmp)/'home').mkdir()
            shutil.copytree(root, project, ignore=shutil.ignore_patterns('.venv', 'data', 'outputs', '__pycache__', '*.egg-info', '.ipynb_checkpoints', '_site', '.mypy_cache', '.ruff_cache'))
            furnish(project); print(f'songs, a model and the files that the commands name: {time.time()-began:.0f} s', flush=True)
            for c in todo:
                where, first = ', '.join(everything[c]), c.splitlines()[0]
                why = c.startswith('-') and reason(WRONG, c) or reason(PARSED, c)
                if why and not (c.startswith('-') and real(c)!=c): print(f'parsed   {first}   [{where}]: {why}'); continue
                took, wrong, line, written = execute(c, project)
                ran += 1
                if wrong: failed.append(c)
                print(f'{"FAILED" if wrong else "ran   "} {took:3.0f} s, {written} files: {first}   [{where}]'
                      +(f'\n         as: {line}' if line!=c else '')+(f'\n{wrong}' if wrong else ''), flush=True)
    print(f'{len(todo)} commands: {ran} executed, {len(todo)-ran} {"parsed" if quick else "only parsed"}, {len(failed)} failed, {time.time()-began:.0f} s, {used():.0f} s of processors')
    sys.exit(bool(failed))
