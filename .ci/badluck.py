"""A week of bad luck in an hour: python .ci/badluck.py [--rounds 200] [--seed 0] [--only N ...] [--keep]

The project's jobs (prepare, train, separate, evaluate, convert, finetune) run as real processes and meet bad luck: they are killed,
their disk is full, their files are damaged, their rights are taken away, a second process does the same, the clocks jump.
After each round: nothing that was done is lost, nothing half-written passes for whole, no traceback, nobody hangs, and
the next undisturbed run ends well with the very result that an undisturbed run gives. What happens when is drawn from the seed
and the round's number, so `--only N` repeats one round. A full disk and another clock need root on Linux; without, they are skipped and named."""
import argparse, collections, ctypes, hashlib, json, os, random, re, shutil, signal, subprocess, sys, tempfile, time, traceback
os.environ.update(OMP_NUM_THREADS='1', MPLBACKEND='Agg', TQDM_MININTERVAL='1')
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
PATIENCE, is_root, libc = 120, os.geteuid()==0, ctypes.CDLL(None)

# what a job imports late is imported once, here: the children are forks of this process
import numpy as np, pandas as pd, soundfile as sf, torch
import IPython.display, librosa, matplotlib.backends.backend_agg, matplotlib.pyplot, nbformat, safetensors.numpy, scipy.signal  # noqa: F401
import bsrnn.catalogue, bsrnn.cli, bsrnn.compare, bsrnn.demo, bsrnn.importers, bsrnn.panels, bsrnn.selftrain, bsrnn.songs, bsrnn.trainer
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from bsrnn.evaluate import museval_module
from bsrnn.sad import read_sad
from bsrnn.training import _read_checkpoint, read_live
from bsrnn.weights import load_model, save_pretrained
from bsrnn.workspace import InputError
for name in ('metrics', 'aggregate'): museval_module(name)
try: import torch.utils.tensorboard  # noqa: F401
except ImportError: pass
librosa.feature.rms

# ---------------------------------------------------------------------------------------------------------------- the jobs
def command(*words):
    "The command `bsrnn` in this process."
    return bsrnn.cli.main([*map(str, words)])

def notebook(name, **given):
    "The code of a notebook in nbs/, with these parameters."
    InteractiveShell.instance(config=Config(HistoryManager=dict(enabled=False)))
    names = {'__name__': '__main__'}
    for n, cell in enumerate(c for c in nbformat.read(root/'nbs'/f'{name}.ipynb', 4).cells if c.cell_type=='code'):
        exec(compile(cell.source, f'{name}.ipynb, cell {n}', 'exec'), names)
        names.update(given if n==0 else {})

def prepare():
    "Songs that are missing are made, then all are looked at."
    bsrnn.demo.demo_dataset('songs', n_train=3, n_test=2, seconds=2, progress=False)
    notebook('prepare', data='songs', seconds=1., workers=1)

def train():
    "On salient segments of a second: what is known of the songs is made if it is not there."
    note = Path('data/sad/songs/dataset.json')
    if not note.exists() or 'settings' not in note.read_text(errors='replace'): bsrnn.prepare.prepare_dataset('songs', seconds=1., progress=False)
    return command('train', '--data', 'songs', '--target', 'vocals', '--preset', 'smoke', '--steps', 8, '--sampling', 'sad',
                   '--demo-share', 0, '--n-valid', 1, '--resume')

def separate():
    return command('separate', 'in', '--model', model_folder(), '--out', 'out')

def evaluate(): notebook('evaluate', model=str(model_folder()), data='songs', resume='true')

def convert():
    "Two foreign checkpoints to model files, and one of these to a folder for the hub."
    worst = 0
    for name in ('one', 'two'):
        if not Path(f'out/{name}.safetensors').exists():
            worst = max(worst, command('convert', f'in/{name}.ckpt', f'out/{name}.safetensors'))
    if worst: return worst
    models = [load_model(f'out/{name}.safetensors') for name in ('one', 'two')]
    save_pretrained(models[0], 'out/hub')

def finetune():
    notebook('finetune', model=str(model_folder()), songs='in', data='songs', preset='smoke', rounds=2, steps=4, n_valid=1,
             resume='true')

def model_folder(): return next(Path('outputs').glob('train-vocals-*')).resolve().relative_to(Path.cwd())

JOBS = dict(prepare=prepare, train=train, separate=separate, evaluate=evaluate, convert=convert, finetune=finetune)

# ------------------------------------------------------------------------------------------------------------ the processes
def obey_rights():
    "From now on root may read and write only what the rights of a file say, as everybody else."
    head, data = (ctypes.c_uint32*2)(0x20080522, 0), (ctypes.c_uint32*6)()
    if libc.capget(head, data): raise OSError('capget')
    for i in (0, 1): data[i] &= ~0b110                            # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(head, data): raise OSError('capset')

def child(job, at, log, mortal=False):
    "Start a job in a process of its own in folder `at`; its number."
    sys.stdout.flush(); sys.stderr.flush()
    if pid := os.fork(): return pid
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid(); os.chdir(at)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1); os.dup2(out, 2); os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = open(1, 'w', 1, closefd=False), open(2, 'w', 1, closefd=False)
        os.environ.update(BSRNN_DATA=f'{at}/data', BSRNN_OUTPUTS=f'{at}/outputs', HOME=str(at), TMPDIR=f'{at}/tmp')
        tempfile.tempdir = None
        torch.set_num_threads(1)
        if mortal: obey_rights()
        try: code = JOBS[job]() or 0
        except InputError as e: print(f'bsrnn: {e}', file=sys.stderr); code = getattr(e, 'code', 1)
        except KeyboardInterrupt: code = 130                  # in a notebook: the interrupted cell
        except SystemExit as e: code = e.code if isinstance(e.code, int) else 1
    except BaseException: traceback.print_exc(file=sys.stderr); code = 99
    try: sys.stdout.flush(); sys.stderr.flush()
    finally: os._exit(code)

def ended(pid, seconds):
    "Its exit code, negative for a signal; None if it runs on."
    end = time.monotonic()+seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return os.waitstatus_to_exitcode(status)
        if time.monotonic()>end: return None
        time.sleep(.01)

def end_all(pid):
    "End what a process may have left, itself included."
    try: os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError: pass

# --------------------------------------------------------------------------------------------------------------- the checks
def files(folder):
    "Files that are not hidden, nor in a hidden folder."
    return [p for p in sorted(Path(folder).rglob('*')) if p.is_file() and not any(x.startswith('.') for x in p.relative_to(folder).parts)]

def places(at):
    "The folders of a round, where bad luck may strike."
    return [at/f for f in ('outputs', 'data', 'out', 'in', 'songs') if (at/f).is_dir() and not (at/f).is_symlink()]

def digest(path): return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()

def sound(path):
    "All samples of a file; what it announces has to be there."
    x, rate = sf.read(path, always_2d=True, dtype='float32')
    i = sf.info(str(path))
    if len(x)!=i.frames or not i.frames: raise ValueError(f'{len(x)} of {i.frames} samples')
    if path.suffix=='.wav':
        said = int.from_bytes(path.read_bytes()[4:8], 'little')+8
        if said!=path.stat().st_size: raise ValueError(f'its header says {said} bytes, it has {path.stat().st_size}')
    return x

def whole(path):
    "What a file holds, read to its end; raises if that cannot be."
    kind = path.suffix
    if path.name in ('live.csv',): return None                                # a log that grows
    if kind in ('.wav', '.flac'): return sound(path)
    if kind=='.json': return json.loads(path.read_text())
    if kind=='.csv': return pd.read_csv(path)
    if kind=='.safetensors': load_model(path); return safetensors.numpy.load_file(path)
    if kind=='.ckpt' and path.parent.name=='checkpoints': return _read_checkpoint(path)
    if kind=='.txt' and 'sad' in path.parts: return read_sad(path)

def broken(at):
    "Files with a final name that are not whole: sentences."
    for folder in ('outputs', 'data', 'out', 'songs'):
        for p in files(at/folder) if (at/folder).is_dir() else ():
            try: whole(p)
            except Exception as e: yield f'{p.relative_to(at)} is not whole ({type(e).__name__}: {str(e)[:100]})'

def finished(at):
    "Folders of runs that say they are finished, newest last."
    done = [p.parent for p in (at/'outputs').glob('*/result.json')]
    return sorted(done, key=lambda p: p.name)

def done_files(at, scored=True):
    "File -> digest, of what was reported done: finished runs, separated songs, converted models, scored tracks."
    found = {}
    for folder in [*finished(at), at/'out', *((at/'outputs').glob('*/tracks') if scored else ())]:
        if folder.is_dir(): found |= {p: digest(p) for p in files(folder) if p.name!='live.csv' and p.parent.name!='hub'}
    return found

def steps_saved(at):
    "Steps in the newest checkpoint of the unfinished training; 0 if there is none."
    for folder in sorted((at/'outputs').glob('train-*'), reverse=True):
        if (folder/'result.json').exists(): continue
        for name in ('last.ckpt', 'previous.ckpt'):
            try: return _read_checkpoint(folder/'checkpoints'/name)['state']['step']
            except InputError: pass
    return 0

def close(a, b):
    "Do two files' contents say the same?"
    if isinstance(a, dict): return a.keys()==b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray): return a.shape==b.shape and np.array_equal(a, b)
    if isinstance(a, pd.DataFrame): return a.equals(b)
    return a==b

CLOCKED = {'key', 'checksum', 'finished', 'minutes', 'seconds', 'energy_wh', 'lists', 'cpu_s', 'wall_s', 'cost_per_hour_of_music', 'rounds'}

def timeless(x):
    "Without what differs from run to run: times, and keys made of them."
    if isinstance(x, dict): return {k: timeless(v) for k, v in x.items() if k not in CLOCKED}
    return [timeless(v) for v in x] if isinstance(x, list) else x

def result(job, at):
    "What a job has made: name -> contents. Raises if something is not there or not whole."
    folder = at/'out'
    if job not in ('separate', 'convert'):
        made = [f for f in finished(at) if f.name.startswith(job)]
        if not made: raise ValueError(f'no finished run of {job}')
        folder = made[-1]
    skip = {'params.json', 'live.csv', 'log.csv', 'test.log', 'training.json', 'round.json', 'segments.json'}
    found = {str(p.relative_to(folder)): timeless(whole(p)) for p in files(folder)
             if p.name not in skip and not {'checkpoints', 'tensorboard'} & set(p.parts)}
    found = {re.sub(r'(?<=/)[0-9a-f]{6}-', '', k): v for k, v in found.items()}
    if job=='prepare':
        found |= {f'sad/{p.relative_to(at/"data"/"sad")}': timeless(whole(p)) for p in files(at/'data'/'sad')
                  if p.name!='dataset.json'}
    if job=='train':
        rows = read_live(folder/'live.csv')
        if not rows or rows[-1]['doing']!='done' or whole(folder/'log.csv').step.iloc[-1]!=8: raise ValueError('its logs do not end')
        if _read_checkpoint(folder/'checkpoints'/'last.ckpt')['state']['step']!=8: raise ValueError('last.ckpt is not the last')
    return found

def differs(job, at, want):
    "How what a job has made differs from what an undisturbed run makes: sentences."
    try: have = result(job, at)
    except Exception as e: return [f'the result is not whole ({type(e).__name__}: {str(e)[:150]})']
    said = [f'{k} is missing' for k in want if k not in have]+[f'{k} is too much' for k in have if k not in want]
    return said+[f'{k} is another than an undisturbed run makes' for k in want if k in have and not close(want[k], have[k])]

def left_parts(job, at):
    "Hidden files that a writer left, where the job has ended well."
    folders = [at/'out'] if job in ('separate', 'convert') else [*finished(at)[-1:], at/'songs']
    return [f'{p.relative_to(at)} was left' for f in folders for p in f.rglob('.*') if p.name!='.lock']

# ------------------------------------------------------------------------------------------------------------- the bad luck
class Round:
    "One round: a job, a kind of bad luck, and what it led to."
    def __init__(self, n, seed, job, kind, base, needs):
        self.n, self.job, self.kind, self.base = n, job, kind, base
        self.at, self.rng = base/f'round-{n}', random.Random(f'{seed}-{n}')
        self.seconds, self.size, self.want = (needs[job][k] for k in ('seconds', 'size', 'want'))
        self.story, self.wrong, self.runs, self.mounted = [], [], 0, None

    def tell(self, text): self.story.append(text)
    def fail(self, text): self.wrong.append(text)

    def start(self):
        self.runs += 1
        self.log = self.at/'tmp'/f'run-{self.runs}.log'
        return child(self.job, self.at, self.log, is_root and self.kind=='rights')

    def said(self, log=None):
        log = log or self.log
        return log.read_text(errors='replace').replace('\r', '\n') if log.exists() else ''

    def judge(self, code, what, fine=(0,), log=None):
        "Is this how a run may end? Its code; a failure is noted."
        text, log = self.said(log), log or self.log
        self.tell(f'{what}: {code}')
        if code is None: self.fail(f'{what}: hangs')
        elif code not in fine: self.fail(f'{what}: exit code {code}, expected {", ".join(map(str, fine))}: {last_words(text)}')
        if 'Traceback (most' in text: self.fail(f'{what}: a bare traceback: {last_words(text)}')
        elif code==1 and not re.search(r'^(bsrnn: |failed: )', text, re.M): self.fail(f'{what}: exit code 1 without a sentence: {last_words(text)}')
        return code

    def run(self, what, fine=(0,)):
        "An undisturbed run."
        pid = self.start()
        code = ended(pid, PATIENCE)
        end_all(pid)
        if code is None: ended(pid, 5)
        return self.judge(code, what, fine)

    def interrupted(self, number):
        "A run that gets a signal at a random moment."
        pid, wait = self.start(), self.rng.uniform(.02, 1.05)*self.seconds
        code = ended(pid, wait)
        if code is None:
            try: os.kill(pid, number)
            except ProcessLookupError: pass
            code = ended(pid, PATIENCE)
            end_all(pid)
            if code is None: ended(pid, 5)
        stopped = [0, 130] if number==signal.SIGINT or self.job not in ('prepare', 'evaluate') else [0]
        return self.judge(code, f'{number.name} after {wait:.2f} s', {0, -number, *stopped} if number!=signal.SIGINT else stopped)

    def wholeness(self):
        "Nothing half-written has a final name."
        for text in broken(self.at): self.fail(f'after the bad luck {text}')

    def last(self, before=None, fine=(0,)):
        "The next undisturbed run ends well, loses nothing, makes what it should."
        saved = steps_saved(self.at) if self.job=='train' else 0
        code = self.run('next run', (*fine, 1) if self.kind=='rights' else fine)
        if code==1 and 'start a new run' in self.said():           # a song could not be read when it began: do what it says
            for folder in (self.at/'outputs').glob(f'{self.job}-*'):
                if not (folder/'result.json').exists() and not (self.base/'start'/self.job/'outputs'/folder.name).exists(): shutil.rmtree(folder)
            saved, code = 0, self.run('new run')
        elif code==1: self.fail(f'next run: exit code 1: {last_words(self.said())}')
        if code: return
        if saved and not re.search(fr'going on from step {saved}\b', self.said()): self.fail(f'{saved} steps were saved, but the run did not go on from there')
        for p, was in (before or {}).items():
            if not p.exists(): self.fail(f'{p.relative_to(self.at)} was done and is lost')
            elif digest(p)!=was: self.fail(f'{p.relative_to(self.at)} was done and has changed')
        for text in differs(self.job, self.at, self.want): self.fail(text)
        for text in left_parts(self.job, self.at): self.fail(text)

    # each kind of bad luck
    def signalled(self, number):
        for _ in range(self.rng.choice((1, 1, 2))): self.interrupted(number)
        self.wholeness()
        self.last(done_files(self.at))
    def kill(self): self.signalled(signal.SIGKILL)
    def term(self): self.signalled(signal.SIGTERM)
    def int(self): self.signalled(signal.SIGINT)

    def full(self):
        "A small disk under the results or the cache, full sooner or later."
        where = self.at/('out' if self.job in ('separate', 'convert') else self.rng.choice([f for f in ('outputs', 'data', 'songs') if self.size[f]]))
        kept = self.at/'kept'
        if where.exists(): where.rename(kept)
        else: kept.mkdir()
        where.mkdir(); subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256M', 'badluck', where], check=True); self.mounted = where
        shutil.copytree(kept, where, dirs_exist_ok=True)
        room = int(self.rng.uniform(0, 1.1)*self.size[where.name])//4096*4096
        used = sum(-(-p.stat().st_size//4096)*4096 for p in where.rglob('*') if p.is_file())
        with open(where/'.filler', 'wb') as f:
            subprocess.run(['mount', '-o', f'remount,size={used+room+2**20+2**19}', where], check=True)
            f.write(bytes(2**20)); f.flush()
            free = os.statvfs(where).f_bavail*4096
            if free>room: f.write(bytes(free-room))
        code = self.run(f'{where.name}/ full after {room//1024} KiB', (0, 1))
        if code==1 and not re.search('disk is full|No space', self.said()): self.fail(f'the sentence does not say that the disk is full: {last_words(self.said())}')
        (where/'.filler').unlink()
        subprocess.run(['mount', '-o', 'remount,size=512M', where], check=True)
        self.wholeness()
        self.last(done_files(self.at))

    def damage(self):
        "A file that a job has read or made, cut or with flipped bytes, between two runs; its path and what was there."
        groups = collections.defaultdict(list)
        for folder in places(self.at):
            for p in files(folder):
                if p.stat().st_size and not {'tensorboard', 'excerpt'} & set(p.parts):   # those are for watchers
                    groups[re.sub(r'\d', '', f'{folder.name} {p.parent.name if p.suffix in (".json", ".wav") else ""}{p.name if p.suffix in (".json", ".csv", ".ckpt", ".safetensors") and p.parent.name!="tracks" else p.suffix}')].append(p)
        path = self.rng.choice(groups[self.rng.choice(sorted(groups))])
        data = path.read_bytes()
        if self.rng.random()<.5: bad, how = data[:self.rng.randrange(len(data))], 'cut'
        else:
            bad, how = bytearray(data), 'flipped'
            for _ in range(self.rng.choice((1, 1, 8))): bad[self.rng.randrange(len(bad))] ^= 1<<self.rng.randrange(8)
        path.write_bytes(bytes(bad))
        self.tell(f'{path.relative_to(self.at)} {how} ({len(data)} to {len(bad)} bytes)')
        return path, data

    def corrupt(self):
        "Damage after a run that ended, or was killed."
        if self.rng.random()<(.5 if self.job in ('prepare', 'separate', 'convert') else .15): self.run('first run')
        else: self.interrupted(signal.SIGKILL)
        path, data = self.damage()
        code = self.run('run over the damage', (0, 1))
        theirs = path.relative_to(self.at).parts[0] in ('in', 'songs')      # the user's: what it says is believed
        name = path.name
        if code==1:
            if not any(x in self.said() for x in (name, path.parent.name, *(['songs'] if theirs else ()))) and name!='params.json': self.fail(f'the sentence does not name {name}: {last_words(self.said())}')
            if theirs or 'train-vocals' in str(path) and self.job!='train': path.write_bytes(data)
            else: path.unlink(missing_ok=True)
            code = self.run('run after it was mended' if theirs else 'run after it was removed')
            if not code: self.compare(path, ())
        elif code==0: self.compare(path, (path,) if theirs else ())

    def compare(self, path, believed):
        "The result after damage: as ever, or whole where the damaged file is the user's own."
        warned = path.name in self.said() or path.parent.name in self.said() and re.search('note: |left out|damaged', self.said())
        for text in differs(self.job, self.at, self.want):
            if (believed or warned) and 'is not whole' not in text: self.tell(text)
            else: self.fail(text)

    def rights(self):
        "A folder or a file may not be written or read for a while."
        self.interrupted(signal.SIGKILL)
        some = [p for f in places(self.at) for p in (f, *f.rglob('*'))]
        path = self.rng.choice([p for p in some if p.is_dir()] if self.rng.random()<.6 else [p for p in some if p.is_file()])
        was, mode = path.stat().st_mode, self.rng.choice((0, 0o444 if path.is_file() else 0o555))
        path.chmod(mode)
        self.run(f'{path.relative_to(self.at)} with rights {mode:o}', (0, 1))
        path.chmod(was & 0o7777)
        self.wholeness()
        self.last({})

    def two(self):
        "Two processes do the same in the same folders, one a little later."
        if self.rng.random()<.5: self.interrupted(signal.SIGKILL)
        a = self.start(); log_a = self.log
        time.sleep(self.rng.uniform(0, .6)*self.seconds)
        b = self.start(); log_b = self.log
        for pid, log, name in ((a, log_a, 'one'), (b, log_b, 'the other')):
            code = ended(pid, PATIENCE); end_all(pid)
            if code is None: ended(pid, 5)
            self.judge(code, name, (0, 1), log)
        self.wholeness()
        self.last(done_files(self.at))

    def clock(self):
        "Files from 1970 or the future; as root, a monotonic clock that has jumped, too."
        self.interrupted(signal.SIGKILL)
        before = done_files(self.at, scored=False)          # scores are of files as they were: by their dates
        when = self.rng.choice((0, 1, time.time()+86400, time.time()+10*365*86400, 2**31+5))
        some = [p for f in places(self.at) for p in f.rglob('*')]
        for p in self.rng.sample(some, len(some)//2): os.utime(p, (when, when))
        self.tell(f'{len(some)//2} of {len(some)} files and folders from {when:.0f}')
        jump = self.rng.choice((0, 3600, 86400*300))
        if is_root and jump and libc.unshare(0x80)==0:           # CLONE_NEWTIME, for the children
            Path('/proc/self/timens_offsets').write_text(f'monotonic {jump} 0\nboottime {jump} 0')
            self.tell(f'monotonic clock +{jump} s')
        self.last(before)

    def play(self):
        "The round; a dict of what came out."
        began = time.monotonic()
        shutil.copytree(self.base/'start'/self.job, self.at, symlinks=True)
        try: getattr(self, self.kind)()
        except Exception: self.fail(f'this script: {traceback.format_exc()}')
        finally:
            if self.mounted: subprocess.run(['umount', '-l', self.mounted], check=False)
        logs = '\n'.join(f'--- {p.name}\n{self.said(p)[-3000:]}' for p in sorted((self.at/'tmp').glob('*.log'))) if self.wrong else ''
        return dict(n=self.n, job=self.job, kind=self.kind, story=self.story, wrong=self.wrong, logs=logs, seconds=time.monotonic()-began)

def last_words(text): return ' | '.join([line for line in text.split('\n') if line.strip()][-2:])[-300:]

KINDS = ('kill', 'term', 'int', 'full', 'corrupt', 'rights', 'two', 'clock')
WEIGHTS = dict(kill=3, corrupt=5)                                 # others once

# ---------------------------------------------------------------------------------------------------------------- the setup
def foreign(path, n):
    "A checkpoint such as other projects write, of a small random model."
    from bsrnn.model import BSRNN, preset_config
    torch.manual_seed(n)
    model = BSRNN(preset_config('paper', 'bass', bands='v7', mask_factor=2, n_feats=16, n_layers=4, hop=512, eps=1e-7))
    w = {}
    for i, v in enumerate(model.split.views()):
        w |= {f'BN.{i}.0.weight': v.gain[0], f'BN.{i}.0.bias': v.offset[0], f'BN.{i}.1.weight': v.weight.T[:, :, None], f'BN.{i}.1.bias': v.bias}
    for l, pair in enumerate(model.seq.pairs):
        for name, layer in [('time_net', pair.time), ('band_net', pair.band)]:
            w |= {f'separator.{l}.{name}.'+k.replace('rnn.', 'main_layer.').replace('fc.', 'proj.'): p for k, p in layer.named_parameters()}
    for i, v in enumerate(model.maskest.views()[0]):
        w |= {f'maskers.0.mask.{i}.0.weight': v.gain[0], f'maskers.0.mask.{i}.0.bias': v.offset[0]}
        for j, (weight, bias) in zip((1, 3, 5), v.layers): w |= {f'maskers.0.mask.{i}.{j}.weight': weight.T[:, :, None], f'maskers.0.mask.{i}.{j}.bias': bias}
    torch.save(dict(state_dict={k: v.detach().clone() for k, v in w.items()}, hyper_parameters=dict(targets=['bass'], n_hop=512)), path)

def make(f, *args):
    "Call a function in a process of its own: this one only imports."
    pid = os.fork()
    if not pid:
        try: f(*args); os._exit(0)
        except BaseException: traceback.print_exc(); os._exit(1)
    if os.waitpid(pid, 0)[1]: sys.exit(f'the setup failed: {f.__name__}{args}')

def lay_out(base):
    "The folders that rounds begin with, base/start/JOB."
    songs = base/'start'/'songs'
    bsrnn.demo.demo_dataset(songs, n_train=3, n_test=2, seconds=3, progress=False)
    for job in JOBS:
        at = base/'start'/job
        for name in ('outputs', 'data', 'tmp'): (at/name).mkdir(parents=True)
        if job in ('train', 'evaluate', 'finetune'): shutil.copytree(songs, at/'songs')
        plain = base/'plain' if job=='finetune' else at/'in'        # finetune: the names of labels depend on where the songs are
        if job in ('separate', 'finetune', 'convert'): plain.mkdir()
        if job in ('separate', 'finetune'):
            for p in sorted(songs.glob('*/*/mixture.wav'))[:4]:
                x, rate = sf.read(p)
                if job=='finetune': x = np.concatenate([x, x[::-1], x])
                sf.write(plain/(p.parent.name[:2]+p.parts[-3]+('.flac' if 'test' in p.parts else '.wav')), x, rate)
        if job=='finetune': (at/'in').symlink_to(plain)
        if job=='convert':
            for n, name in enumerate(('one', 'two')): foreign(at/'in'/f'{name}.ckpt', n)

def measure(base):
    "Each job undisturbed: job -> seconds, size of what it makes, what that holds."
    needs = {}
    for job in JOBS:
        at = base/f'first-{job}'
        shutil.copytree(base/'start'/job, at, symlinks=True)
        began = time.monotonic()
        code = ended(child(job, at, at/'tmp'/'log'), 300)
        seconds = time.monotonic()-began
        if code: sys.exit(f'{job} fails when nothing disturbs it ({code}):\n{(at/"tmp"/"log").read_text()[-3000:]}')
        pages = lambda folder: sum(-(-p.stat().st_size//4096)*4096 for p in folder.rglob('*') if p.is_file())
        size = {f: pages(at/f)-pages(base/'start'/job/f) for f in ('outputs', 'out', 'data', 'songs')}
        needs[job] = dict(seconds=seconds, size=size, want=result(job, at))
        if job=='train':
            for other in ('separate', 'evaluate', 'finetune'):
                shutil.copytree(finished(at)[-1], base/'start'/other/'outputs'/finished(at)[-1].name)
        print(f'{job}: {seconds:.1f} s, {sum(size.values())/1e6:.1f} MB, {len(needs[job]["want"])} files', flush=True)
    return needs

def plan(rounds, seed):
    "Job and kind of each round: every pair before one comes again, heavier ones more often."
    pairs = [(job, kind) for job in JOBS for kind in KINDS for _ in range(WEIGHTS.get(kind, 1))]
    rng, found = random.Random(seed), []
    while len(found)<rounds: found += rng.sample(pairs, len(pairs))
    return found[:rounds]

def possible(kind):
    "Why a kind cannot be had here; empty if it can."
    return 'a full disk needs root to mount one' if kind=='full' and not is_root else ''

def table(outcomes):
    "Rounds and failures of every job and kind."
    cell = lambda some: f'{len(some)}/{sum(bool(o["wrong"]) for o in some)}' if some else '-'
    lines = [f'{"rounds/failed":14}'+''.join(f'{k:>9}' for k in (*KINDS, 'all'))]
    for job in (*JOBS, 'all'):
        mine = [o for o in outcomes if job in (o['job'], 'all')]
        lines.append(f'{job:14}'+''.join(f'{cell([o for o in mine if k in (o["kind"], "all")]):>9}' for k in (*KINDS, 'all')))
    return '\n'.join(lines)

def main():
    a = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    a.add_argument('--rounds', type=int, default=200); a.add_argument('--seed', type=int, default=0)
    a.add_argument('--only', type=int, nargs='*', help='numbers of rounds'); a.add_argument('--side', type=int, default=2, help='rounds at a time')
    a.add_argument('--keep', action='store_true', help='leave the folders of failed rounds')
    a = a.parse_args()
    began, base = time.monotonic(), Path(tempfile.mkdtemp(prefix='badluck-')).resolve()
    base.chmod(0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    outcomes, running = [], {}
    try:
        make(lay_out, base)
        needs = measure(base)
        print(f'{time.monotonic()-began:.0f} s until here', flush=True)
        todo = [(n, job, kind) for n, (job, kind) in enumerate(plan(a.rounds, a.seed)) if not a.only or n in a.only]
        for why in sorted({w for _, _, kind in todo if (w := possible(kind))}): print(f'skipped: {why}')
        todo = [t for t in todo if not possible(t[2])]
        while todo or running:
            while todo and len(running)<a.side:
                n, job, kind = todo.pop(0)
                sys.stdout.flush()
                if not (pid := os.fork()):
                    os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    out = Round(n, a.seed, job, kind, base, needs).play()
                    (base/f'round-{n}.json').write_text(json.dumps(out))
                    os._exit(0)
                running[pid] = n
            pid, _ = os.wait()
            if pid not in running: continue
            n = running.pop(pid)
            o = json.loads((base/f'round-{n}.json').read_text())
            outcomes.append(o)
            if o['wrong'] or a.only:
                print(f'{"FAILED" if o["wrong"] else "ok    "} round {n}, {o["job"]}, {o["kind"]}, {o["seconds"]:.1f} s: {"; ".join(o["story"])}',
                      *(f'\n         {w}' for w in o['wrong']), '\n'+o['logs'] if a.only and o['wrong'] else '', sep='', flush=True)
            if len(outcomes)%20==0: print(f'{len(outcomes)} rounds, {time.monotonic()-began:.0f} s', flush=True)
            if not (a.keep and o['wrong']): shutil.rmtree(base/f'round-{n}', ignore_errors=True)
    finally:
        for pid in running: end_all(pid)
        for line in Path('/proc/mounts').read_text().splitlines() if is_root and Path('/proc/mounts').exists() else ():
            if line.split()[1].startswith(f'{base}/'): subprocess.run(['umount', '-l', line.split()[1]], check=False)
        if not a.keep: shutil.rmtree(base, ignore_errors=True)
        else: print(f'folders: {base}')
    failed = sum(bool(o['wrong']) for o in outcomes)
    print(table(outcomes))
    print(f'{len(outcomes)} rounds in {time.monotonic()-began:.0f} s, {failed} failed')
    sys.exit(failed>0)

if __name__=='__main__': main()
