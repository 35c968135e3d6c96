"""Drive a real Chromium on a real JupyterLab: python .ci/browser.py [--all] [--shots FOLDER] [--notebook] [CHAPTER ...]

Opens chapters (50, 52, 53 if none is named, --all: every one), runs all cells, fails on error outputs and console errors; then does
with their widgets what is in browser_checks.py, and looks at the kernel's state and the sound. --shots: pictures of every widget in
the light and the dark theme. --notebook: in Notebook 7 instead (pip install notebook). Without Chromium or playwright it says so and skips."""
import argparse, importlib.util, os, shutil, socket, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
STALL = int(os.environ.get('STALL', 300))  # s in which a notebook that runs must get on
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--disable-background-timer-throttling',
         '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows', '--autoplay-policy=no-user-gesture-required']
def chromium() -> str:
    "Path of a Chromium, or the empty text."
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), '')

@contextmanager
def lab(folder, notebook=False):
    "A JupyterLab, or a Notebook 7, over `folder`; yields its address."
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    log = open(folder/'lab.log', 'w')
    for extension, text in {'notebook-extension/tracker': '{"windowingMode": "none"}',   # cells stay in the page
                            'apputils-extension/notification': '{"fetchNews": "false"}'}.items():
        settings = folder/'.settings'/'@jupyterlab'/f'{extension}.jupyterlab-settings'
        settings.parent.mkdir(parents=True); settings.write_text(text)
    command = [sys.executable, '-m', 'notebook' if notebook else 'jupyterlab', '--no-browser', '--ip=127.0.0.1', f'--port={port}', '--port-retries=0', '--allow-root',
               '--IdentityProvider.token=', '--ServerApp.password=', f'--ServerApp.root_dir={folder}', '--expose-app-in-browser',
               '--JupyterNotebookApp.news_url=None' if notebook else '--LabApp.news_url=None']
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder,
                              env={**os.environ, 'JUPYTERLAB_SETTINGS_DIR': str(folder/'.settings')})
    try:
        for _ in range(600):
            with socket.socket() as s:
                if not s.connect_ex(('127.0.0.1', port)): break
            if server.poll() is not None: raise SystemExit((folder/'lab.log').read_text()[-2000:])
            time.sleep(.1)
        yield f'http://127.0.0.1:{port}/{"notebooks" if notebook else "lab"}'
    finally:
        server.terminate()
        try: server.wait(60)
        except subprocess.TimeoutExpired: server.kill()

# ipykernel 7.2 now and then leaves a message unread until the next one comes (its issue 1554): here comes the next one
NUDGE = '() => { window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.requestKernelInfo().catch(() => 0) }'
OPEN = '''async path => {
  const app = window.jupyterapp
  const w = app.name === 'JupyterLab' ? await app.commands.execute('docmanager:open', {path}) : app.shell.currentWidget
  const step = async (name, promise) => { window.waits = name; await promise; window.waits = '' }
  await step('the notebook', w.context.ready); await step('its session', w.sessionContext.ready)
  await step('its kernel', w.sessionContext.session.kernel.info)
  window.nb = w; return true }'''
RUN = """() => { window.ran = ''
  window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => window.ran = 'done', e => window.ran = String(e)) }"""
ERRORS = '''() => { const found = []
  for (const c of window.nb.content.model.cells) if (c.type === 'code')
    for (const o of c.toJSON().outputs) if (o.output_type === 'error') found.push(o.ename + ': ' + o.evalue + ' in ' + c.sharedModel.source.slice(0, 60))
  return found }'''
STATE = '''() => { const k = window.nb.sessionContext.session.kernel
  const ran = window.nb.content.widgets.map(w => w.node.querySelector('.jp-InputPrompt')?.textContent ?? '')
  return `kernel ${k?.status}, ${k?.connectionStatus}; cells ${ran}; ${document.querySelector('.jp-Dialog')?.textContent ?? 'no dialog'}` }'''
ASK = '''async code => {
  const k = window.nb.sessionContext.session.kernel, f = k.requestExecute({code}); let text = ''
  f.onIOPub = m => { if (m.header.msg_type === 'stream') text += m.content.text; if (m.header.msg_type === 'error') text += 'ERROR ' + m.content.evalue }
  await f.done; return text }'''

CELL = """async code => {
  const nb = window.nb.content, app = window.jupyterapp
  nb.activeCellIndex = nb.widgets.length - 1; await app.commands.execute('notebook:insert-cell-below')
  nb.activeCell.model.sharedModel.setSource(code); await app.commands.execute('notebook:run-cell'); return true }"""

class Page:
    "A page of JupyterLab or of Notebook, with what its console complains of."
    def __init__(self, page, url, name):
        self.page, self.url, self.wrong = page, url, []
        page.on('console', lambda m: self.wrong.append(m.text) if m.type=='error' else None)
        page.on('pageerror', lambda e: self.wrong.append(str(e)))
        if url.endswith('/lab'): self.goto(f'{url}/workspaces/{name}')

    def goto(self, address):
        self.page.goto(address); self.page.wait_for_function('window.jupyterapp', timeout=90_000)
        self.page.evaluate('window.jupyterapp.restored')

    def call(self, code, arg=None, seconds=900):
        "What a function of the page returns; raises if it takes longer."
        return self.page.evaluate(f"""arg => {{
            const nudge = setInterval({NUDGE}, 10_000)
            const late = new Promise((_, no) => setTimeout(() => no(new Error('no answer in {seconds} s')), {seconds*1000}))
            return Promise.race([({code})(arg), late]).finally(() => clearInterval(nudge)) }}""", arg)

    def open(self, path):
        if self.url.endswith('/notebooks'):
            self.goto(f'{self.url}/{path}')
            self.page.wait_for_function('window.jupyterapp.shell.currentWidget?.sessionContext?.session', timeout=90_000)
        try: self.call(OPEN, path, 90)
        except Exception as e: raise AssertionError(f'{path} does not open: it waits for {self.page.evaluate("window.waits")}') from e

    def run(self, path):
        "Open a notebook and run it; raises if a cell fails or the console has an error."
        self.open(path)
        self.page.evaluate(RUN)
        state, since, began = '', time.time(), time.time()
        while not (ran := self.page.evaluate('window.ran')):
            time.sleep(.2)
            if (now := self.page.evaluate(STATE))!=state: state, since = now, time.time()
            elif time.time()-since>10: self.page.evaluate(NUDGE); time.sleep(2)
            assert time.time()-since<STALL and time.time()-began<10*STALL, f'{path}: for {STALL} s nothing has happened, or it takes for ever; {state}'
        assert ran=='done', f'{path}: {ran}; {state}'
        errors = self.call(ERRORS)+self.complaints()
        assert not errors, f'{path}: {errors}'

    def complaints(self): return [w for w in self.wrong if 'favicon' not in w]

    def ask(self, code):
        "What the kernel prints."
        said = self.call(ASK, code)
        assert 'ERROR' not in said, said
        return said.strip()

    def cell(self, code):
        "A new cell at the end, run."
        self.call(CELL, code)

    def players(self): return self.page.locator('.bsrnn-player')

    def widgets(self): return self.page.locator('.jp-OutputArea-output:has(.jupyter-widgets, .bsrnn-player)')

    def shoot(self, name, shots):
        "Pictures of every widget, light and dark."
        shots.mkdir(parents=True, exist_ok=True)
        for theme in ('JupyterLab Light', 'JupyterLab Dark'):
            self.page.evaluate("t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme)
            time.sleep(1.5)
            for k in range(self.widgets().count()):
                self.widgets().nth(k).screenshot(path=shots/f'{name[:2]}-{k}-{theme[11:].lower()}.png')

def scratch(path, *cells):
    "A notebook of these cells."
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in cells],
                                  metadata=dict(kernelspec=dict(display_name='python3', language='python', name='python3')))
    nbformat.write(nb, path)

def main(names, shots, notebook):
    from playwright.sync_api import sync_playwright
    import browser_checks as checks
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as pw:
        folder = Path(tmp)
        for n in names: shutil.copy(root/'nbs'/f'{n}.ipynb', folder)
        for extra in ('audio', 'images'): shutil.copytree(root/'nbs'/extra, folder/extra)
        shutil.copy(root/'nbs'/'glossary.md', folder)
        browser = pw.chromium.launch(executable_path=chromium(), args=FLAGS)
        with lab(folder, notebook) as url:
            fresh = lambda name: Page(browser.new_context(viewport=dict(width=1300, height=900), accept_downloads=True).new_page(), url, name)
            for name, cells in checks.SCRATCH.items(): scratch(folder/f'{name}.ipynb', *cells)
            for name, check in checks.BEFORE.items():
                page = fresh(name); check(page, f'{name}.ipynb')
                if name!='drift': page.page.close()
                else: drifting, began = page, time.time()
            for n in names:
                page = fresh(n)
                page.run(f'{n}.ipynb'); print(f'ok     {n}: all cells, no error', flush=True)
                for check in checks.CHECKS.get(n, []): check(page)
                assert not page.complaints(), page.complaints()
                if shots: page.shoot(n, shots)
                page.page.close()
            checks.exported(folder, browser)
            checks.drifted(drifting, began)
        browser.close()

if __name__=='__main__':
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument('chapters', nargs='*'); a.add_argument('--all', action='store_true'); a.add_argument('--shots', type=Path)
    a.add_argument('--notebook', action='store_true')
    a = a.parse_args()
    if not importlib.util.find_spec('playwright'): sys.exit(print("SKIPPED the browser tests: playwright is missing (pip install -e '.[browser]')"))
    if a.notebook and not importlib.util.find_spec('notebook'): sys.exit(print('SKIPPED: Notebook 7 is missing (pip install notebook)'))
    if not chromium(): sys.exit(print('SKIPPED the browser tests: no chromium on this machine (apt-get install chromium)'))
    every = [p.stem for p in sorted((root/'nbs').glob('[0-9]*.ipynb'))]
    main(every if a.all else a.chapters or ['50_widgets', '52_explorers', '53_panels'], a.shots, a.notebook)
