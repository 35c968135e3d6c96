"""Drive a real Chromium on a real JupyterLab: python .ci/browser.py [--all] [--shots FOLDER] [CHAPTER ...]

Opens chapters (50_widgets if none is named, --all: every one), runs all cells, fails on error outputs and console errors;
of chapter 50 it presses the players' keys and measures what is heard. Without Chromium or playwright it says so and skips."""
import argparse, json, shutil, socket, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--disable-background-timer-throttling',
         '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows', '--autoplay-policy=no-user-gesture-required']
SCRATCH = '''
import numpy as np, torch
from bsrnn.widgets import StemPlayer
rate = 44100
t = torch.arange(100*rate)/rate
tone, noise = .2*torch.sin(2*torch.pi*440*t)[None], .1*torch.randn(2, 100*rate, generator=torch.manual_seed(0))
'''
TESTS = [SCRATCH, "ab = StemPlayer({'estimate': tone, 'reference': tone}); ab.solo = ['estimate']; ab",
         "drift = StemPlayer({'noise': noise, 'turned over': -noise}); drift"]

def chromium() -> str:
    "Path of a Chromium, or the empty text."
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), '')

@contextmanager
def lab(folder):
    "A JupyterLab over `folder`; yields its address."
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    log = open(folder/'lab.log', 'w')
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--port-retries=0', '--allow-root',
               '--IdentityProvider.token=', '--ServerApp.password=', f'--ServerApp.root_dir={folder}', '--expose-app-in-browser',
               '--LabApp.news_url=None']
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(600):
            with socket.socket() as s:
                if not s.connect_ex(('127.0.0.1', port)): break
            if server.poll() is not None: raise SystemExit((folder/'lab.log').read_text()[-2000:])
            time.sleep(.1)
        yield f'http://127.0.0.1:{port}/lab'
    finally: server.terminate(); server.wait(20)

OPEN = '''async path => {
  const app = window.jupyterapp, w = await app.commands.execute('docmanager:open', {path})
  await w.context.ready; await w.sessionContext.ready; await w.sessionContext.session.kernel.info
  window.nb = w; return true }'''
RUN = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); return true }"
ERRORS = '''() => { const found = []
  for (const c of window.nb.content.model.cells) if (c.type === 'code')
    for (const o of c.toJSON().outputs) if (o.output_type === 'error') found.push(o.ename + ': ' + o.evalue + ' in ' + c.sharedModel.source.slice(0, 60))
  return found }'''
ASK = '''async code => {
  const k = window.nb.sessionContext.session.kernel, f = k.requestExecute({code}); let text = ''
  f.onIOPub = m => { if (m.header.msg_type === 'stream') text += m.content.text; if (m.header.msg_type === 'error') text += 'ERROR ' + m.content.evalue }
  await f.done; return text }'''

class Page:
    "A page of JupyterLab, with what its console complains of."
    def __init__(self, page, url):
        self.page, self.wrong = page, []
        page.on('console', lambda m: self.wrong.append(m.text) if m.type=='error' else None)
        page.on('pageerror', lambda e: self.wrong.append(str(e)))
        page.goto(url); page.wait_for_function('window.jupyterapp', timeout=90_000)
        page.evaluate('window.jupyterapp.restored')

    def run(self, path):
        "Open a notebook and run it; raises if a cell fails or the console has an error."
        self.page.evaluate(OPEN, path); self.page.evaluate(RUN)
        errors = self.page.evaluate(ERRORS)+[w for w in self.wrong if 'favicon' not in w]
        assert not errors, f'{path}: {errors}'

    def ask(self, code):
        "What the kernel prints."
        said = self.page.evaluate(ASK, code)
        assert 'ERROR' not in said, said
        return said.strip()

    def players(self): return self.page.locator('.bsrnn-player')

class Player:
    "One player on the page, by its buttons and keys."
    def __init__(self, box): self.box = box; box.scroll_into_view_if_needed()
    def key(self, k): self.box.focus(); self.box.press(k)
    def again(self):
        "Play from the beginning: the songs are short, and this machine may be slow."
        self.box.locator('canvas').first.press('Home')
        if not self.get('playing'): self.key('k')
    def press(self, label): self.box.get_by_role('button', name=label, exact=False).first.click()
    def get(self, what): return self.box.evaluate(f'b => b.sound.{what}()')
    def level(self, wait=.6): time.sleep(wait); return self.get('level')
    def heard(self, what, least=.001):
        "A sound comes, sooner or later: this machine may be busy."
        self.again(); until(lambda: self.get('level')>least, f'{what}: silent')
    def silent(self, what, playing=True):
        if playing: self.again()
        until(lambda: self.get('level')<1e-4 and self.get('playing')==playing, f'{what}: heard, or ended')

def close(a, b, within): assert abs(a-b)<=within, f'{a} is not {b} within {within}'

def until(holds, what, seconds=30):
    "Wait for something; raises if it does not come."
    end = time.time()+seconds
    while not holds():
        assert time.time()<end, what
        time.sleep(.05)

def test_mixer(p, names):
    "Play, mute, solo, volume, seek, loop: heard, not only drawn."
    p.heard('everything', .005); until(lambda: p.get('position')>.5, 'it does not move')
    muted = lambda n: p.box.get_by_role('button', name=f'mute {n}').get_attribute('aria-pressed')=='true'
    for n in names:
        if not muted(n): p.press(f'mute {n}')
    p.silent('all muted')
    p.press(f'solo {names[1]}'); p.heard('solo')
    slider = p.box.get_by_label(f'volume of {names[1]}'); slider.fill('0'); p.silent('volume 0')
    slider.fill('1'); p.press(f'solo {names[1]}'); p.silent('solo ended, all muted')
    for n in names: p.press(f'mute {n}')
    p.key('1'); p.heard('only the first', .005)
    p.key('1'); p.key('k'); p.silent('paused', playing=False)
    before = p.get('position'); time.sleep(.4); close(p.get('position'), before, .01)
    wave = p.box.locator('canvas').first; size = wave.bounding_box()
    seconds = float(wave.get_attribute('aria-valuemax'))
    wave.click(position=dict(x=size['width']/2, y=9)); close(p.get('position'), seconds/2, seconds/50)
    wave.press('ArrowLeft'); close(p.get('position'), seconds/2-1, seconds/50)
    p.box.page.keyboard.down('Shift')
    p.box.page.mouse.move(size['x']+size['width']*.2, size['y']+9); p.box.page.mouse.down()
    p.box.page.mouse.move(size['x']+size['width']*.3, size['y']+9, steps=4); p.box.page.mouse.up()
    p.box.page.keyboard.up('Shift'); p.key('k')
    for _ in range(20):
        time.sleep(.1); at = p.get('position')/seconds
        assert .18<=at<=.32, f'out of the loop: {at}'
    p.key('l'); p.key('k')

def main(names, shots):
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as pw:
        folder = Path(tmp)
        for n in names: shutil.copy(root/'nbs'/f'{n}.ipynb', folder)
        for extra in ('audio', 'glossary.md'):
            if (root/'nbs'/extra).is_dir(): shutil.copytree(root/'nbs'/extra, folder/extra)
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in TESTS],
                                      metadata=dict(kernelspec=dict(display_name='python3', language='python', name='python3')))
        nbformat.write(nb, folder/'scratch.ipynb')
        browser = pw.chromium.launch(executable_path=chromium(), args=FLAGS)
        with lab(folder) as url:
            fresh = lambda name: Page(browser.new_context(viewport=dict(width=1300, height=900)).new_page(),
                                      f'{url}/workspaces/{name}')
            scratch = fresh('scratch')
            scratch.run('scratch.ipynb'); switching(scratch); one, began = drifting(scratch), time.time()
            for n in names:
                page = fresh(n)
                page.run(f'{n}.ipynb'); print(f'ok     {n}: all cells, no error', flush=True)
                if n=='50_widgets': chapter(page, shots)
                page.ask('print(1)'); page.page.close()
            scratch.page.bring_to_front()
            drifted(scratch, one, began)
        browser.close()

def chapter(page, shots):
    "The two players of chapter 50: the one in the page, the one over the kernel."
    assert page.players().count()>=2, page.players().count()
    for k, kind in enumerate(('in the page', 'from the kernel')):
        p = Player(page.players().nth(k))
        test_mixer(p, ['mixture', 'vocals', 'drums', 'bass', 'other']); print(f'ok     player {kind}: play, mute, solo, volume, seek, loop', flush=True)
    state = json.loads(page.ask('import json; print(json.dumps([mixer.position, mixer.muted, mixer.solo, mixer.region, mixer.playing]))'))
    close(state[0], p.get('position'), .1); assert state[1:3]==[['mixture'], []] or not state[2], state
    page.ask("mixer.muted = []; mixer.solo = ['bass']; mixer.position = 2.; mixer.playing = True")
    until(lambda: p.get('playing') and p.get('position')>2 and p.get('level')>.001, 'Python plays, and nothing is heard')
    assert p.box.get_by_role('button', name='solo bass').get_attribute('aria-pressed')=='true'
    page.ask("mixer.volumes = mixer.volumes|{'bass': 0.}"); until(lambda: p.get('level')<1e-4, 'volume 0 is heard')
    page.ask('mixer.playing = False'); until(lambda: not p.get('playing'), 'it plays on')
    print('ok     Python reads and sets position, mute, solo, volume, playing', flush=True)
    reviewing(page)
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
        for theme in ('JupyterLab Light', 'JupyterLab Dark'):
            page.page.evaluate("t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme)
            time.sleep(1.5)
            for k in range(3):
                box = page.players().nth(k); box.scroll_into_view_if_needed()
                for v in ('waves', 'spectra'): box.screenshot(path=shots/f'{theme[11:].lower()}-{k}-{v}.png'); box.focus(); box.press('v'); time.sleep(.3)

def switching(page):
    "From one of two equal tones to the other, while they play: no gap, no click."
    p = Player(page.players().nth(0)); p.key('k'); until(lambda: p.get('position')>1, 'it does not move'); steady = p.level()
    seen = p.box.evaluate("""async b => { const seen = []; for (let i = 0; i < 80; i++) {
        if (i % 10 === 5) b.dispatchEvent(new KeyboardEvent('keydown', {key: i % 20 < 10 ? '2' : '1'}))
        seen.push(b.sound.level()); await new Promise(r => setTimeout(r, 20)) } return seen }""")
    p.key('k')
    assert min(seen)>.97*steady and max(seen)<1.03*steady, (steady, min(seen), max(seen))
    print(f'ok     switched eight times: level {min(seen)/steady:.3f} to {max(seen)/steady:.3f} of the steady one', flush=True)

def drifting(page):
    "Play noise and the same noise turned over, which cancel each other only if no sample is lost; the level of one."
    p = Player(page.players().nth(1)); p.key('1'); p.key('k')
    until(lambda: p.get('level')>.05, 'the noise is silent'); one = p.level(); p.key('1')
    until(lambda: p.get('level')<one*1e-3, 'they do not cancel')
    return one

def drifted(page, one, began):
    "... and after a minute of playing?"
    time.sleep(max(0, 62-(time.time()-began)))
    p = Player(page.players().nth(1)); at, worst = p.get('position'), max(p.level(.2) for _ in range(5))
    p.key('k')
    assert at>60 and worst<one*1e-3, (at, one, worst)
    print(f'ok     after {at:.0f} s two sounds cancel to {worst/one:.1e} of one of them', flush=True)

def reviewing(page):
    "Keys of the review: a decision is in the file before the next stem is shown."
    state = lambda: json.loads(page.ask("import json; r = review.rows[0]; print(json.dumps([review.at, "
                                        "Manifest.read(path).tracks[r['track']][r['stem']]['decision']]))"))
    before = state(); assert before==[0, ''], before
    for key, after in [('r', [1, 'reject']), ('b', [0, '']), ('a', [1, 'accept']), ('b', [0, ''])]:
        last = page.players().last; last.scroll_into_view_if_needed(); last.focus(); last.press(key)
        until(lambda: state()==after, f'{key}: {state()}'); time.sleep(1)
    assert page.players().last.evaluate('b => b===document.activeElement'), 'the next player has no focus'
    p = Player(page.players().last); p.heard('the stem'); p.key('k')
    print('ok     review: accept, reject, back by keys, saved at once', flush=True)

if __name__=='__main__':
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('chapters', nargs='*'); a.add_argument('--all', action='store_true'); a.add_argument('--shots', type=Path)
    a = a.parse_args()
    try: import playwright
    except ImportError: sys.exit(print("SKIPPED the browser tests: playwright is missing (pip install -e '.[browser]')"))
    if not chromium(): sys.exit(print('SKIPPED the browser tests: no chromium on this machine (apt-get install chromium)'))
    every = [p.stem for p in sorted((root/'nbs').glob('[0-9]*.ipynb'))]
    main(every if a.all else a.chapters or ['50_widgets'], a.shots)
