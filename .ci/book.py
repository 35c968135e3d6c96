"Build the HTML site from the saved notebooks: python .ci/book.py [FOLDER]. The order and the parts are those of the index's chapter map."
import re, shutil, subprocess, sys, tempfile
from pathlib import Path
import nbformat

root = Path(__file__).resolve().parent.parent
CONF = '''
project, author = 'bsrnn', 'the bsrnn authors'
extensions = ['myst_nb', 'sphinx_copybutton', 'sphinx-mathjax-offline']
nb_execution_mode, nb_merge_streams, myst_heading_anchors = 'off', True, 3
nb_render_markdown_format = 'gfm'
myst_enable_extensions = ['dollarmath', 'amsmath']
html_theme, html_title = 'sphinx_book_theme', 'bsrnn'
html_static_path, html_css_files = ['_static'], ['site.css']
html_favicon = '_static/icon.svg'
html_show_copyright = html_show_sphinx = html_copy_source = False
html_context = {'default_mode': 'auto'}
html_theme_options = {'show_toc_level': 2, 'navigation_with_keys': False, 'use_download_button': False,
                      'navbar_start': [], 'navbar_center': [], 'navbar_end': [], 'navbar_persistent': []}
'''
ICON = '''<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0072B2" d="M1 9h3v6H1z"/>
<path fill="#D55E00" d="M6 1h4v14H6z"/><path fill="#009E73" d="M12 5h3v10h-3z"/></svg>'''
CSS = '''
.bd-header {display: none !important}
html[data-theme] .bd-content div.cell_output :is(.text_html, img.dark-light) {background: none !important; filter: none;
    color: inherit !important; padding: 0 !important}
audio {max-width: 100%}
.bd-main .bd-content .bd-article-container {max-width: 66rem}
div.cell pre {font-size: .74em}
.cell_output, div.math {overflow-x: auto}
@media (min-width: 1200px) {.bd-sidebar-primary {flex: 0 0 14rem; max-width: 14rem}
    .bd-sidebar-secondary {flex: 0 0 11rem; max-width: 11rem; width: 11rem}}
@media (max-width: 600px) {.cell_output img {max-width: 44rem !important}}
.tag_export > .cell_input::before {content: "part of the package"; display: block; font-size: .7em; text-align: right;
    padding: 0 .6em; color: var(--pst-color-text-muted)}
'''

SOLUTION, NOISE = 'a solution', 'what is needed behind the scenes'

def chapters() -> list:
    "(part, [names of pages]) as the index's chapter map has them: headings of level 3 and links in its tables."
    text = '\n'.join(c.source for c in nbformat.read(root/'nbs'/'index.ipynb', as_version=4).cells if c.cell_type=='markdown')
    parts = re.findall(r'^### (.+)\n((?:(?!^##).*\n?)*)', text, re.M)
    found = [(title, re.findall(r'^\| \[[^\]]*\]\((\w+)\.(?:ipynb|md)\)', body, re.M)) for title, body in parts]
    found = [(title, names) for title, names in found if names]
    listed = {n for _, names in found for n in names}
    pages = {p.stem for p in (root/'nbs').iterdir() if p.suffix in ('.ipynb', '.md')}-{'index'}
    if listed!=pages: sys.exit(f'the chapter map of index.ipynb and the folder nbs differ in: {", ".join(sorted(listed^pages))}')
    return found

def page(path) -> dict:
    "A notebook as the site shows it: nbdev's directives become tags; the index gets the table of contents."
    nb = nbformat.read(path, as_version=4)
    for c in nb.cells:
        if c.cell_type=='markdown': c.source = re.sub(r'^\$\$.+?\$\$$', r'\n\g<0>\n', c.source, flags=re.M | re.S)  # else MyST sets $ + $...$ + $
        first, _, rest = c.source.partition('\n')
        if c.cell_type!='code' or not first.startswith('#| '): continue
        tags = {'#| export': ['export'], '#| default_': ['remove-cell']}.get(first[:11].rstrip(), [])
        c.source, c.metadata['tags'] = rest or first, c.metadata.get('tags', [])+tags
    for c in nb.cells:
        if 'hide-cell' in c.metadata.get('tags', []): c.metadata['mystnb'] = {'code_prompt_show': SOLUTION if 'exercise(' in c.source else NOISE}
        if 'hide-input' in c.metadata.get('tags', []): c.metadata['mystnb'] = {'code_prompt_show': 'the code that made this'}
    nb.cells[0].source = re.sub(r'^# ', f'# {path.stem[:2]} ' if path.stem[:2].isdigit() else '# ', nb.cells[0].source)
    if path.stem=='index':
        for title, names in chapters():
            nb.cells.append(nbformat.v4.new_markdown_cell('\n'.join(['```{toctree}', ':hidden:', f':caption: {title}', '', *names, '```'])))
    return nb

def build(out) -> None:
    "Build the site into a folder."
    if out.exists() and any(out.iterdir()) and not (out/'objects.inv').exists():
        sys.exit(f'{out} holds something other than a site; give another folder')
    with tempfile.TemporaryDirectory() as tmp:
        book = Path(tmp)/'book'
        (book/'_static').mkdir(parents=True)
        (book/'_static'/'site.css').write_text(CSS)
        (book/'_static'/'icon.svg').write_text(ICON)
        (book/'conf.py').write_text(CONF)
        for p in sorted((root/'nbs').iterdir()):
            if p.suffix=='.ipynb': nbformat.write(page(p), book/p.name)
            elif p.suffix=='.md': shutil.copy(p, book)
        for d in ('images', 'audio'): shutil.copytree(root/'nbs'/d, book/d)
        if subprocess.run([sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', book, Path(tmp)/'html']).returncode:
            sys.exit('the site was not built: see the warnings above')
        for f in (Path(tmp)/'html').glob('*.html'):           # Sphinx does not warn of these
            text = re.sub(r'<(pre|script|code)\b.*?</\1>', '', f.read_text(encoding='utf-8'), flags=re.S)
            if re.search(r'\$\s*<span class="math |</span>\$\s', text): sys.exit(f'{f.name}: a formula between $$ was not set as one')
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(tmp)/'html', out)
        shutil.copytree(root/'nbs'/'audio', out/'audio', dirs_exist_ok=True)  # players name these files
    print(f'the site is in {out}: open {out/"index.html"}')

if __name__=='__main__': build(Path(sys.argv[1] if len(sys.argv)>1 else root/'_site').resolve())
