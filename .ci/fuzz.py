"""Feed every reader damaged, lying and hostile input: python .ci/fuzz.py [--inputs 20000] [--seed 0]

What is read, and how it is damaged, is in fuzz_readers.py. Inputs go through the readers in forked children,
so that a crash is seen; an input must bring a right answer or one clear sentence (`InputError`). A failure
is: another exception, no clear sentence, a good file refused, more than 10 s, more than 1 GB, a crash, a file
outside the reader's folder, or code of a pickle that ran. --only NAME or NAME:NUMBER runs one reader, or
repeats one input here, with its traceback; --keep FOLDER saves the inputs that failed."""
import argparse, json, os, random, re, select, shutil, signal, sys, tempfile, time, traceback, warnings
from collections import Counter, deque
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1',
                  MPLBACKEND='agg')    # before numpy: a forked child has no other threads
import resource
import torch
import fuzz_readers as readers
from bsrnn.workspace import InputError

SECONDS, MEGABYTES, BATCH = 10, 1000, 40       # limits of an input; inputs of a child
ROOM = 4<<30                                    # bytes of address space that a child may add

class Hang(BaseException): "The time of an input is over."

def unclear(error):
    "Why an error's text is no clear sentence, or nothing."
    text = str(error)
    if len(text)<10: return 'says nothing'
    if len(text)>1200: return f'a message of {len(text):,} characters'
    if not text.isprintable(): return 'a message with line breaks or control characters'
    if re.search(r'Traceback|object at 0x|<(class|function|built-in)',
                 text): return 'a message for programmers'
    return ''

def tree(box):
    "All that lies in a box, but in the two folders that a reader may use: name -> size and date."
    found, todo = {}, [str(box)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for e in entries:
                if e.path in (f'{box}/work/in', f'{box}/work/out'): continue
                s = e.stat(follow_symlinks=False)
                if e.is_dir(follow_symlinks=False): todo.append(e.path); found[e.path] = 'folder'
                else: found[e.path] = s.st_size, s.st_mtime_ns
    return found

def make_box(box):
    "A place for a child: where it works, and what must stay as it is around that."
    for folder in ('home', 'tmp', 'work/in', 'work/out', 'near'): (box/folder).mkdir(parents=True)
    for name in ('home/a', 'tmp/b', 'work/c', 'near/vocals.wav', 'd.txt'): (box/name).write_text('untouched')
    return box

def enter(box):
    "From here on this process lives in its box."
    os.environ.update(HOME=str(box/'home'), TMPDIR=str(box/'tmp'), XDG_CACHE_HOME=str(box/'home'),
                      BSRNN_DATA=str(box/'work/out/data'), BSRNN_OUTPUTS=str(box/'work/out/outputs'),
                      BSRNN_CACHE=str(box/'work/out/cache'))
    tempfile.tempdir = str(box/'tmp')
    os.chdir(box/'work')

def memory(word):
    "VmRSS, or VmHWM, the most since it was reset; MB."
    with open('/proc/self/status') as f: return int(re.search(rf'{word}:\s+(\d+)', f.read())[1])/1024

def prepared(box, name, number, seed):
    "Lay an input out in the box; the reader (a generator that waits), what it was given, must it be right?"
    for folder in (box/'work/in', box/'work/out'):
        shutil.rmtree(folder, ignore_errors=True); folder.mkdir()
    rng = random.Random(f'{seed} {name} {number}')
    fair = rng.random()<.05
    going = readers.READERS[name].run(rng, box/'work/in', fair)
    return going, next(going), fair

def attempt(box, name, number, seed, limit=True):
    "One input through its reader: (state, why, what was given)."
    before = tree(box)
    going, given, fair = prepared(box, name, number, seed)
    least = memory('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')           # the peak of memory begins anew
    if limit: signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        next(going, None)
        state, why = 'right', ''
    except readers.READERS[name].promised as e:
        state, why = 'error', unclear(e)
        if why: state, why = 'failed', f'{why}: {str(e)[:300]}'
        elif fair: state, why = 'failed', f'a good input refused: {e}'
    except Hang: state, why = 'failed', f'no answer after {SECONDS} s'+where(sys.exc_info()[2])
    except Exception as e:
        if not limit: traceback.print_exc()
        state, why = 'failed', f'{type(e).__name__}: {str(e)[:200]}'+where(e.__traceback__)
    finally: signal.setitimer(signal.ITIMER_REAL, 0)
    if (more := memory('VmHWM')-least)>MEGABYTES: state, why = 'failed', f'{more:,.0f} MB of memory; {why}'
    after = tree(box)
    if changed := [k for k in before.keys() | after.keys() if before.get(k)!=after.get(k)]:
        state, why = 'failed', f'outside its folder: {", ".join(changed)[:300]}'
        for k in sorted(after.keys()-before.keys(),
                        reverse=True): os.rmdir(k) if os.path.isdir(k) else os.unlink(k)
    return state, why, given

def where(trace):
    "The last place in the package that a traceback went through."
    places = [f for f in traceback.extract_tb(trace) if '/bsrnn/' in f.filename]
    return f' ({Path(places[-1].filename).name}, {places[-1].name})' if places else ''

def child(box, name, numbers, seed, say):
    "Try inputs; a line of JSON for each."
    quiet = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2): os.dup2(quiet, fd)
    enter(box)
    signal.signal(signal.SIGALRM, alarm)
    warnings.simplefilter('ignore')
    used = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used+ROOM,)*2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for n in numbers:
        began = time.monotonic()
        try: state, why, given = attempt(box, name, n, seed)
        except Exception as e: state, why, given = 'failed', f'the fuzzer itself: {e!r}'+trace_end(e), ''
        line = dict(n=n, state=state, why=why, given=str(given)[:500], seconds=time.monotonic()-began)
        if state=='failed': line['kept'] = str(save_input(box, f'{name}-{n}', line))
        os.write(say, json.dumps(line).encode()+b'\n')

def trace_end(e): return ' at '+str(traceback.extract_tb(e.__traceback__)[-1])

def alarm(*_): raise Hang

KEEP = [None]
def save_input(box, name, line):
    "Keep an input that failed."
    if not KEEP[0]: return ''
    to = KEEP[0]/name
    shutil.rmtree(to, ignore_errors=True); to.mkdir(parents=True)
    copy = ['cp', '-a', '--sparse=always', str(box/'work/in')+'/.', str(to)]
    os.spawnvp(os.P_WAIT, 'cp', copy)
    (to/'why.json').write_text(json.dumps(line, indent=1))
    return to

class Slot:
    "A child at work."
    def __init__(self, box, name, numbers, seed):
        self.box, self.name, self.left, self.seed, self.rest = box, name, deque(numbers), seed, b''
        self.ear, say = os.pipe()
        self.pid, self.heard = os.fork(), time.monotonic()
        if not self.pid:
            try: os.close(self.ear); child(box, name, numbers, seed, say)
            except BaseException: os._exit(70)
            os._exit(0)
        os.close(say)

    def listen(self):
        "Lines that have come; None when the child has ended."
        text = os.read(self.ear, 1<<16)
        if not text: return None
        self.heard, (*lines, self.rest) = time.monotonic(), (self.rest+text).split(b'\n')
        for _ in lines: self.left.popleft()
        return [json.loads(line) for line in lines]

    def end(self):
        "Why a child died that had inputs left."
        os.close(self.ear)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return signal.Signals(-code).name if code<0 else f'exit code {code}'

def run(jobs, boxes, seed, tell):
    "All jobs (name, numbers) through children, as many at a time as there are boxes."
    free, busy, jobs = list(boxes), {}, deque(jobs)
    while jobs or busy:
        while jobs and free:
            s = Slot(free.pop(), *jobs.popleft(), seed)
            busy[s.ear] = s
        for ear in select.select(list(busy), [], [], 1)[0]:
            s = busy[ear]
            if (lines := s.listen()) is not None:
                for line in lines: tell(s.name, line)
                continue
            del busy[ear]; free.append(s.box)
            why = s.end()
            if not s.left: continue
            n = s.left.popleft()                            # it died of this one; the others go on
            line = dict(n=n, state='failed', why=f'the process died: {why}', given='', seconds=0)
            save_input(s.box, f'{s.name}-{n}', line); tell(s.name, line)
            if s.left: jobs.appendleft((s.name, list(s.left)))
        for s in busy.values():
            if time.monotonic()-s.heard>3*SECONDS: os.kill(s.pid, signal.SIGKILL); s.heard = time.monotonic()

def around(): return {str(p) for f in ('/', '/tmp', Path.home(), readers.HOME, readers.HOME.parent)
                      for p in Path(f).iterdir() if readers.MARK in p.name}

def plan_jobs(inputs, only):
    "Batches of inputs, every reader's share of them."
    chosen = {k: r for k, r in readers.READERS.items() if only in ('', k)}
    whole = sum(r.share for r in chosen.values())
    counts = {k: max(1, -int(-inputs*r.share//whole)) for k, r in chosen.items()}
    jobs = [(k, range(i, min(i+BATCH, n))) for k, n in counts.items() for i in range(0, n, BATCH)]
    random.Random(0).shuffle(jobs)
    return jobs

def table(rows, found):
    "What became of the inputs, by reader."
    print(f'\n{"reader":<12}{"inputs":>8}{"right":>8}{"errors":>8}{"failed":>8}{"seconds":>9}')
    for name, c in [*sorted(rows.items()), ('all', sum(rows.values(), Counter()))]:
        counts = [c[k] for k in ('right', 'error', 'failed')]
        print(f'{name:<12}{sum(counts):>8}{counts[0]:>8}{counts[1]:>8}{counts[2]:>8}{c["ms"]/1000:>9.0f}')
    kinds = {}
    for name, line in found:
        at = (re.findall(r' \(\w+\.py, .*\)$', line['why']) or [''])[0]
        kind = re.sub(r'/\S+|"[^"]*"|\'[^\']*\'|\d[\d,]*', '#',
                      line['why'].removesuffix(at).split(': ')[0])+at
        kinds.setdefault((name, kind), []).append(line)
    for (name, kind), lines in kinds.items():
        print(f'\n{len(lines)} x {name}: {kind}; first {name}:{lines[0]["n"]}\n   {lines[0]["why"][:300]!a}'
              f'\n   given: {lines[0]["given"][:200]!a}')

def check_itself(boxes):
    "Seven readers that fail, each in its own way: if one of them passes, nothing else here means anything."
    global SECONDS
    usual, SECONDS, found = SECONDS, 1, {}
    bad = {k: lambda rng, at, fair, do=do: do(at) for k, do in readers.BAD.items()}
    readers.READERS.update({k: readers.SimpleNamespace(run=f, share=0, promised=(InputError,)) for k,
                            f in bad.items()})
    run([(k, [0]) for k in bad], boxes, 0, lambda name, line: found.update({name: line}))
    for k in bad: del readers.READERS[k]
    SECONDS = usual
    for k in bad:
        if found[k]['state']!='failed': raise SystemExit(f'the fuzzer did not see {k}: {found[k]}')
    print(f'seen: {", ".join(bad)}', flush=True)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--inputs', type=int, default=20_000, help='how many in all')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--only', default='', help='a reader, or reader:number to repeat one input here')
    p.add_argument('--keep', type=Path, help='folder for the inputs that failed')
    p.add_argument('--processes', type=int, default=2)
    a = p.parse_args()
    name, _, number = a.only.partition(':')
    if name and name not in readers.READERS: p.error(f'readers: {", ".join(readers.READERS)}')
    KEEP[0], began = a.keep and a.keep.resolve(), time.monotonic()
    torch.set_num_threads(1)
    base = Path(tempfile.mkdtemp(prefix='bsrnn-fuzz-')).resolve()
    try:
        boxes = [make_box(base/f'deep/er/{i}') for i in range(1 if number else a.processes)]
        os.environ.update(BSRNN_DATA=str(base/'data'), BSRNN_OUTPUTS=str(base/'outputs'))
        warnings.simplefilter('ignore')
        readers.make_seeds(base/'seeds')
        print(f'real files made in {time.monotonic()-began:.0f} s', flush=True)
        if number:
            enter(boxes[0]); state, why, given = attempt(boxes[0], name, int(number), a.seed, limit=False)
            save_input(boxes[0], f'{name}-{number}', dict(why=why, given=str(given)))
            print(f'given {given!a}\n{state} {why!a}')
            return state=='failed'
        check_itself(boxes)
        before, rows, found = around(), {}, []
        def tell(name, line):
            rows.setdefault(name, Counter()).update({line['state']: 1, 'ms': int(1000*line['seconds'])})
            if line['state']=='failed': found.append((name, line))
        run(plan_jobs(a.inputs, name), boxes, a.seed, tell)
        for path in around()-before: found.append(('?', dict(n=-1, why=f'outside: {path}', given='')))
    finally:
        os.chdir('/'); shutil.rmtree(base, ignore_errors=True)
    table(rows, found)
    total = sum((sum(c[k] for k in ('right', 'error', 'failed')) for c in rows.values()))
    print(f'\n{total} inputs, {len(found)} failures, {time.monotonic()-began:.0f} s, seed {a.seed}')
    return bool(found)

if __name__=='__main__': sys.exit(main())
