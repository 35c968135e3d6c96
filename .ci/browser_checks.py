"What is done with the widgets in a real browser, and what must come of it: in the kernel's state, and in the sound."
import json, subprocess, sys, time
from pathlib import Path

SOUNDS = '''
import numpy as np, torch
from bsrnn.widgets import StemPlayer, stem_player
rate = 44100
t = torch.arange(100*rate)/rate
tone, noise = .2*torch.sin(2*torch.pi*440*t)[None], .1*torch.randn(2, 100*rate, generator=torch.manual_seed(0))
'''
# a training in the kernel itself, which is busy with it while its view is used
BUSY = ['''
import os, tempfile
from pathlib import Path
tmp = Path(tempfile.mkdtemp()); os.environ['BSRNN_OUTPUTS'] = str(tmp)
from bsrnn.data import find_tracks
from bsrnn.demo import demo_dataset
from bsrnn.experiment import Run, new_run_folder
from bsrnn.mixing import Mixer
from bsrnn.model import BSRNN, preset_config
from bsrnn.panels import TrainingView
from bsrnn.training import Recipe, Stopped, fit, make_fabric
tracks = find_tracks(demo_dataset(n_train=2, n_test=1, seconds=6), 'train')
run = Run(new_run_folder('train')); run.lock()
view = TrainingView(run)
view''', '''
try: fit(BSRNN(preset_config('smoke', 'drums')), Mixer(tracks, 'drums', seconds=1, augment='quick'), [], run.folder,
         Recipe(steps=10**6, batch=2, seconds=1), make_fabric('cpu', 'float32'), progress=False)
except Stopped as e: said = str(e)
''']
SCRATCH = {'drift': [SOUNDS, "drift = StemPlayer({'noise': noise, 'turned over': -noise}); drift"],
           'switch': [SOUNDS, "ab = StemPlayer({'estimate': tone, 'reference': tone}); ab.solo = ['estimate']; ab"],
           'busy': BUSY,
           'export': [SOUNDS, "stem_player({'tone': tone, 'noise': noise}, seconds=3)", "StemPlayer({'tone': tone, 'noise': noise})",
                      "from bsrnn.explorers import MaskExplorer\nMaskExplorer(tone[:, :rate]+.1, tone[:, :rate])"]}

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
    def loudest(self, seconds=2):
        "The highest level of the next so many seconds, from the beginning."
        self.again(); until(lambda: self.get('position')>.1, 'it does not move'); end, most = time.time()+seconds, 0
        while time.time()<end: most = max(most, self.get('level'))
        return most

def ok(what): print(f'ok     {what}', flush=True)
def close(a, b, within): assert abs(a-b)<=within, f'{a} is not {b} within {within}'
def until(holds, what, seconds=30):
    "Wait for something; raises if it does not come."
    end = time.time()+seconds
    while not holds():
        assert time.time()<end, what() if callable(what) else what
        time.sleep(.05)
def value(page, code): return json.loads(page.ask(f'import json; print(json.dumps({code}))'))
def widget(page, text): return page.widgets().filter(has_text=text).last
def player_of(page, text): return Player(widget(page, text).locator('.bsrnn-player'))

def mix(p, names):
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

def switching(page, path):
    "From one of two equal tones to the other, while they play: no gap, no click."
    page.run(path)
    p = Player(page.players().nth(0)); p.key('k'); until(lambda: p.get('position')>1, 'it does not move'); steady = p.level()
    seen = p.box.evaluate("""async b => { const seen = []; for (let i = 0; i < 80; i++) {
        if (i % 10 === 5) b.dispatchEvent(new KeyboardEvent('keydown', {key: i % 20 < 10 ? '2' : '1'}))
        seen.push(b.sound.level()); await new Promise(r => setTimeout(r, 20)) } return seen }""")
    p.key('k')
    assert min(seen)>.97*steady and max(seen)<1.03*steady, (steady, min(seen), max(seen))
    ok(f'switched eight times: level {min(seen)/steady:.3f} to {max(seen)/steady:.3f} of the steady one')

def drifting(page, path):
    "Play noise and the same noise turned over, which cancel each other only if no sample is lost."
    page.run(path)
    p = Player(page.players().nth(0)); p.key('1'); p.key('k')
    until(lambda: p.get('level')>.05, 'the noise is silent'); page.one = p.level(); p.key('1')
    until(lambda: p.get('level')<page.one*1e-3, 'they do not cancel')

def drifted(page, began):
    "... and after a minute of playing?"
    page.page.bring_to_front(); time.sleep(max(0, 62-(time.time()-began)))
    p = Player(page.players().nth(0)); at, worst = p.get('position'), max(p.level(.2) for _ in range(5))
    p.key('k')
    assert at>60 and worst<page.one*1e-3, (at, page.one, worst)
    ok(f'after {at:.0f} s two sounds cancel to {worst/page.one:.1e} of one of them')

def stopping(page, path):
    "The kernel trains in a cell; the button beside it ends the training after a step."
    page.open(path)
    page.page.evaluate("() => { window.running = window.jupyterapp.commands.execute('notebook:run-all-cells'); return true }")
    button = page.page.get_by_role('button', name='stop and save')
    until(lambda: button.count() and button.is_enabled() and 'loss' in page.widgets().first.inner_text(),
          lambda: 'the view does not see the training: '+page.widgets().first.inner_text(), 120)
    button.click(); page.call('() => window.running', seconds=120)
    said, rows, left = (value(page, k) for k in ('said', '[[r["step"], r["doing"]] for r in view.rows]', '(run.folder/"stop").exists()'))
    assert f'stopped by a file called stop at step {rows[-1][0]};' in said and rows[-1][1]=='stopped' and not left, (said, rows[-1], left)
    ok(f'a training in a busy kernel, stopped by a button after step {rows[-1][0]}')

def players(page):
    "Chapter 50: the player in the page, and the one over the kernel."
    assert page.players().count()>=2, page.players().count()
    for k, kind in enumerate(('in the page', 'from the kernel')):
        p = Player(page.players().nth(k))
        mix(p, ['mixture', 'vocals', 'drums', 'bass', 'other']); ok(f'player {kind}: play, mute, solo, volume, seek, loop')
    state = value(page, '[mixer.position, mixer.muted, mixer.solo, mixer.region, mixer.playing]')
    close(state[0], p.get('position'), .1); assert state[1:3]==[['mixture'], []] or not state[2], state
    page.ask("mixer.muted = []; mixer.solo = ['bass']; mixer.position = 2.; mixer.playing = True")
    until(lambda: p.get('playing') and p.get('position')>2 and p.get('level')>.001, 'Python plays, and nothing is heard')
    assert p.box.get_by_role('button', name='solo bass').get_attribute('aria-pressed')=='true'
    page.ask("mixer.volumes = mixer.volumes|{'bass': 0.}"); until(lambda: p.get('level')<1e-4, 'volume 0 is heard')
    page.ask("mixer.volumes = mixer.volumes|{'bass': 1.}; mixer.swap({'bass': torch.zeros(1, 8*rate)})")
    until(lambda: p.get('level')<1e-4 and p.get('playing'), 'the sound that was swapped is heard')
    page.ask("mixer.swap({'bass': song['bass']})"); p.heard('swapped back', .001)
    page.ask('mixer.playing = False'); until(lambda: not p.get('playing'), 'it plays on')
    page.ask("mixer.solo = []; mixer.view = 'spectra'")
    ok('Python reads and sets position, mute, solo, volume, sounds, playing')

def thresholds(page):
    "Chapter 52: two sliders, moved by keys; what is kept and what is left out, heard."
    handle = widget(page, 'floor (dBFS)').locator('.noUi-handle').first
    page.ask('sad.floor.value = -50.'); until(lambda: float(handle.get_attribute('aria-valuenow'))==-50, 'Python does not move the slider')
    handle.scroll_into_view_if_needed(); handle.focus()
    for _ in range(3): handle.press('ArrowRight')
    until(lambda: value(page, 'sad.floor.value')==-47, lambda: f"the slider does not move Python: {value(page, 'sad.floor.value')}")
    p = player_of(page, 'floor (dBFS)')
    page.ask("sad.player.solo = ['vocals, kept']; sad.floor.value = -68."); p.heard('what is kept')
    page.ask('sad.floor.value = -10.'); p.silent('nothing is kept')
    assert '0 segments' in widget(page, 'floor (dBFS)').inner_text()
    page.ask("sad.player.solo = ['vocals, left out']"); p.heard('all is left out'); p.key('k')
    page.ask('sad.floor.value = -68.')
    ok('SAD: a slider moves Python; kept and left out are heard')

def edges(page):
    "Chapter 52: band edges by mouse and keys, and a band alone."
    canvas = page.page.locator('.bsrnn-bands canvas'); canvas.scroll_into_view_if_needed()
    page.ask("cuts.use('v7')"); before = value(page, 'cuts.widths')
    canvas.focus()
    for k in ('ArrowRight', 'ArrowRight', 'Shift+ArrowRight'): canvas.press(k)
    after = value(page, 'cuts.widths'); assert after[1:3]==[before[1]+1, before[2]-1], (before[:4], after[:4])
    canvas.press('Delete'); until(lambda: len(value(page, 'cuts.widths'))==len(before)-1, 'no edge is removed')
    assert 'bin' in page.page.locator('.bsrnn-bands .said').inner_text()
    size = canvas.bounding_box(); x = lambda share: size['width']*share
    page.ask("cuts.use([(4000, 4000)])"); until(lambda: canvas.get_attribute('data-bands')=='2', 'the plot does not follow')
    canvas.dblclick(position=dict(x=x(.3), y=80)); until(lambda: value(page, 'len(cuts.widths)')==3, 'no edge is added')
    here = value(page, 'cuts.plot.edges')[0]; hz = 40*(22050/40)**.3; close(here*44100/2048, hz, hz*.1)
    page.page.mouse.move(size['x']+x(.3), canvas.bounding_box()['y']+80); page.page.mouse.down()
    page.page.mouse.move(size['x']+x(.4), canvas.bounding_box()['y']+80, steps=5); page.page.mouse.up()
    until(lambda: value(page, 'cuts.plot.edges')[0]>here*1.5, 'the edge is not dragged')
    p = player_of(page, 'million parameters')
    page.ask("cuts.player.solo = ['bass']"); whole = p.loudest()
    canvas.click(position=dict(x=x(.95), y=60)); until(lambda: value(page, 'cuts.plot.band')==2, 'no band is picked')
    top = p.loudest(); assert top<.1*whole, (whole, top)
    canvas.press('Escape'); until(lambda: value(page, 'cuts.plot.band')==-1, 'Escape'); p.heard('all bands again', whole/4); p.key('k')
    page.ask("cuts.use('v7')")
    ok(f'bands: moved, removed, added, dragged; above 4 kHz the bass has {top/whole:.3f} of its level')

def masks(page):
    "Chapter 52: a click into a picture picks moment and band."
    p = player_of(page, 'uSDR')
    page.ask('view.player.band = -1'); picture = p.box.locator('canvas').first; size = picture.bounding_box()
    picture.click(position=dict(x=size['width']/2, y=size['height']*.5))
    until(lambda: value(page, 'view.player.band')>=0, 'no band is picked'); close(p.get('position'), 2.5, .1)
    low, high = value(page, '[e*44100/2048 for e in view.edges[view.player.band:view.player.band+2]]')
    middle = 40*(22050/40)**.5; assert low<=middle<=high*1.03, (low, middle, high)
    band = value(page, 'view.player.band'); p.key('ArrowUp'); until(lambda: value(page, 'view.player.band')==band+1, 'ArrowUp')
    page.ask('view.player.band = 38; view.player.solo = ["mixture"]'); quiet = p.loudest()
    p.key('Escape'); until(lambda: value(page, 'view.player.band')==-1, 'Escape'); loud = p.loudest(); p.key('k')
    assert quiet<.2*loud, (quiet, loud)
    page.ask('view.player.solo = []')
    ok('masks: a click picks moment and band, keys go through the bands, one band is heard')

def training(page):
    "Chapter 53: watch a process that trains, hear its excerpt, stop it, go on."
    page.ask("""live = start_training(target='drums', preset='demo', minutes=20, n_valid=1, test_tracks=1,
                options='{"n_feats": 16, "n_layers": 1}', data=str(demo_dataset(n_train=3, n_test=1, seconds=8)))""")
    page.cell('live')
    box = lambda: widget(page, 'stop and save'); button = lambda n: box().get_by_role('button', name=n)
    until(lambda: button('stop and save').is_enabled() and 'loss' in box().inner_text(), lambda: box().inner_text(), 120)
    assert button('go on').is_disabled()
    until(lambda: box().locator('.bsrnn-player').count(), 'no excerpt to hear', 150)
    p = Player(box().locator('.bsrnn-player')); p.key('2'); p.heard('the true drums'); p.key('k')
    button('stop and save').click(); until(lambda: button('go on').is_enabled(), lambda: box().inner_text(), 60)
    rows = value(page, '[[r["step"], r["doing"]] for r in live.rows]'); assert rows[-1][1]=='stopped', rows[-1]
    button('go on').click(); until(lambda: value(page, 'live.rows[-1]["step"]')>rows[-1][0], lambda: box().inner_text(), 120)
    button('stop and save').click(); until(lambda: value(page, 'live.state')=='stopped', lambda: box().inner_text(), 60)
    ok(f'training: seen, heard, stopped after step {rows[-1][0]}, taken up, stopped')

def reviewing(page):
    "Chapter 53, keys of the review: a decision is in the file before the next stem is shown."
    state = lambda: json.loads(page.ask("import json; r = review.rows[0]; print(json.dumps([review.at, "
                                        "Manifest.read(path).tracks[r['track']][r['stem']]['decision']]))"))
    one = lambda: widget(page, 'accept (a)').locator('.bsrnn-player')
    before = state(); assert before==[0, ''], before
    for key, after in [('r', [1, 'reject']), ('b', [0, '']), ('a', [1, 'accept']), ('b', [0, ''])]:
        one().scroll_into_view_if_needed(); one().focus(); one().press(key)
        until(lambda: state()==after, f'{key}: {state()}'); time.sleep(1)
    assert one().evaluate('b => b===document.activeElement'), 'the next player has no focus'
    p = Player(one()); p.heard('the stem'); p.key('k')
    ok('review: accept, reject, back by keys, saved at once')

def dropping(page):
    "Chapter 53: a song goes up from the browser, its parts come down."
    song = Path(value(page, 'str(write(tmp/"dropped.wav", toy_track().mixture(), 44100))'))
    page.ask('from pathlib import Path; panel.drop.folder = tmp/"up"')
    box = widget(page, 'Drop'); box.scroll_into_view_if_needed()
    with page.page.expect_file_chooser() as chooser: box.locator('.bsrnn-drop .area').press('Enter')
    chooser.value.set_files(song)
    until(lambda: value(page, 'panel.song.value').endswith('dropped.wav'), lambda: box.inner_text(), 60)
    assert (song.parent/'up'/'dropped.wav').read_bytes()==song.read_bytes()
    dropped = """async ([area, name, bytes]) => { const d = new DataTransfer()
        d.items.add(new File([new Uint8Array(bytes)], name)); area.dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true})) }"""
    area = box.locator('.bsrnn-drop .area').element_handle()
    page.page.evaluate(dropped, [area, 'notes.txt', [1, 2, 3]]); until(lambda: 'no audio file' in area.inner_text(), area.inner_text)
    page.page.evaluate(dropped, [area, 'by mouse.wav', [*song.read_bytes()[:5000]]])
    until(lambda: value(page, 'panel.song.value').endswith('by mouse.wav'), area.inner_text)
    assert (song.parent/'up'/'by mouse.wav').read_bytes()==song.read_bytes()[:5000]
    page.ask('panel.song.value = str(tmp/"up"/"dropped.wav")')
    run = value(page, 'str(panel.run.folder)')
    box.get_by_role('button', name='separate').click()
    until(lambda: value(page, 'str(panel.run.folder)')!=run, lambda: box.inner_text(), 120)
    until(lambda: box.locator('.bsrnn-player').count() and box.get_by_role('button', name='drums.flac').count(), 'no player', 30)
    p = Player(box.locator('.bsrnn-player')); p.heard('the parts'); p.key('k')
    with page.page.expect_download() as download: box.get_by_role('button', name='drums.flac').click()
    file = Path(value(page, 'str(panel.run.folder/"drums.flac")'))
    assert Path(download.value.path()).read_bytes()==file.read_bytes() and download.value.suggested_filename=='drums.flac'
    ok(f'a song dropped, separated, heard; {file.stat().st_size/1e6:.1f} MB downloaded, bit for bit')

def exported(folder, browser):
    "nbconvert's HTML of players that nobody answers: they play, and ask nobody."
    subprocess.run([sys.executable, '-m', 'nbconvert', '--to', 'html', '--execute', folder/'export.ipynb'], check=True, capture_output=True)
    page = browser.new_page(); asked, wrong = [], []
    page.on('request', lambda r: asked.append(r.url) if not r.url.startswith(('file:', 'data:', 'blob:')) else None)
    page.on('pageerror', lambda e: wrong.append(str(e)))
    page.route(lambda url: url.startswith('http'), lambda route: route.abort())
    page.goto((folder/'export.html').as_uri())
    boxes = page.locator('.bsrnn-player'); until(lambda: boxes.count()==3, lambda: f'{boxes.count()} players, expected 3')
    for k in range(3):
        p = Player(boxes.nth(k)); p.heard(f'player {k}', .01); p.key('k')
    asked = [u for u in asked if not any(k in u for k in ('require', 'mathjax', 'MathJax', 'html-manager', 'mermaid'))]  # nbconvert's own
    assert not asked and not wrong, (asked, wrong)
    page.close(); ok('a page that nbconvert made: three players play, and ask nobody')

BEFORE = {'drift': drifting, 'switch': switching, 'busy': stopping}
CHECKS = {'50_widgets': [players], '52_explorers': [thresholds, edges, masks], '53_panels': [training, reviewing, dropping]}
