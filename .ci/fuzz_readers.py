"""What fuzz.py tries: real files of this project, ways to damage them, every reader and its right answers.

A reader is a generator: it makes an input in the folder `at`, yields what that is, and then reads it. When it
ends the answer was right; `promised` errors with a clear sentence are right, too, but for a `fair` input,
which is not damaged."""
import contextlib, copy, io, json, math, os, pickle, re, shutil, signal, stat, subprocess, time, zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
import soundfile as sf
import torch
import yaml

from bsrnn.audio import Track, info, read, tags, write
from bsrnn.catalogue import open_model, unpack
from bsrnn.cli import main as command_main
from bsrnn.compare import paired, read_scores
from bsrnn.data import find_dataset, find_tracks, split_dataset, split_targets, stem_table
from bsrnn.demo import toy_track
from bsrnn.estimates import find_estimates, holds_estimates
from bsrnn.evaluate import summary
from bsrnn.experiment import (Run, agreed, check_params, find_unfinished, fingerprint, newest_model,
                              recipe_of, runs, runs_of, start_run)
from bsrnn.importers import import_model
from bsrnn.labelnoise import corrupt, doubtful, filter_stems, manifest_table, precision_recall
from bsrnn.leaderboard import comparable, measured, published
from bsrnn.loss import parse_quantiles
from bsrnn.manifest import Manifest
from bsrnn.mixing import Mixer
from bsrnn.model import BSRNN, Bag, BSRNNConfig, parse_options, preset_config
from bsrnn.panels import FileDrop, LabelReview, TrainingView, safe_name
from bsrnn.parameters import TRAIN, defaults, rules
from bsrnn.prepare import load_segments, prepare_dataset, segments_for
from bsrnn.sad import read_sad, write_sad
from bsrnn.separate import Separator
from bsrnn.songs import find_songs, plan_jobs, separate_songs
from bsrnn.stream import blocks
from bsrnn.sweep import cell_name, expand_grid
from bsrnn.testset import read_museval, report, score_track
from bsrnn.trainer import plan_training, plot_training
from bsrnn.training import Log, read_live
from bsrnn.weights import load_model, save_model
from bsrnn.widgets import StemPlayer
from bsrnn.workspace import InputError

HOME, MARK = Path.home(), f'fuzzed{os.getpid()}'            # a word in names that must not appear elsewhere
S = SimpleNamespace()                                       # the real files, made once
READERS = {}

def reader(share, *promised):
    "This generator is a reader; it gets such a share of the inputs."
    def named(f):
        READERS[f.__name__] = SimpleNamespace(run=f, share=share, promised=promised or (InputError,))
        return f
    return named

def hold(ok, what):
    "An answer is right only if this holds."
    if not ok: raise AssertionError(what)

def bad(does):
    "A reader that fails."
    def f(at): yield ''; does(at)
    return f

def _stuck(at):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(100)

def _unclear(at): raise InputError('bad')

BAD = {  # readers that fail, to see that fuzz.py sees it
    'a crash': bad(lambda at: os.kill(os.getpid(), signal.SIGSEGV)),
    'another exception': bad(lambda at: {}['a']), 'an endless loop': bad(lambda at: time.sleep(100)),
    'a deaf one': bad(_stuck), 'much memory': bad(lambda at: bytearray(11<<27)),
    'a file elsewhere': bad(lambda at: (at.parent/'x').touch()),
    'a file changed': bad(lambda at: (at.parent.parent/'near/vocals.wav').write_text('a')),
    'no sentence': bad(_unclear)}

# ---- damage ----

TEXTS = ['', ' ', 'a', '0', '-1', '1e400', 'NaN', 'true', 'vocals', 'vocals,vocals', 'a+a', '../../x',
         f'../../{MARK}', f'/{MARK}', f'/tmp/{MARK}', f'~/{MARK}', '~root', '~nobody-here', 'C:\\x', '..',
         '.', '/', 'a/b', '\0', 'a\0b', '\ud800', 'é', 'e\u0301', '\u202egnp.exe', '\ufeffvocals', '\u2028',
         '\n', 'a\tb', '\x1b[31mred', '😀', '${x}', '{target}', '{target.__class__}', '{0}', '{', '%s', '*',
         '**/*', '[', '[z-a]', '?', "a'b\"c", '$(touch x)', '; rm -rf x', '<b>x', 'x'*300, 'x'*100_000,
         '/dev/zero', '/dev/stdin', '/proc/self/mem', 'con', '１２', '1_000', '+5', '0x10', '2001-99-99',
         'null', 'a b', '-', '--', '-h']
NUMBERS = [0, 1, -1, 2, 3, 255, 256, 2**31-1, 2**31, -2**31, 2**32, 2**53, 2**63, 2**64, 10**30, 10**400,
           1e308, -1e308, 5e-324, .5, -.5, 1.5, -0., math.nan, math.inf, -math.inf, 44100, 1e9]
OTHERS = [None, True, False, [], {}, [[]], [None], [1, 2], [[1, [2]]], ['a'], {'': ''}, {'a': {}}, [0]*1000,
          {'stem': 'drums'}, '@deep@', '@digits@']

def wild(rng):
    "Some value that nobody expects."
    return copy.copy(rng.choice(rng.choice((TEXTS, NUMBERS, OTHERS))))

def hurt(rng, blob, others=(), head=()):
    "Bytes with one wound or more; most of them at the places `head`, where headers are."
    b = bytearray(blob)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = min(rng.choice(head), len(b)) if head and rng.random()<.75 else rng.randrange(len(b)+1)
        kind, size = rng.randrange(9), rng.choice((1, 2, 4, 8))
        if kind<=2:                                         # a field becomes an extreme
            top = 2**(8*size)-1
            v = rng.choice((0, 1, 2, top, top-1, top//2, top//2+1, rng.randint(0, top), len(b) & top,
                            0x7fffffff & top))
            b[at:at+size] = v.to_bytes(size, rng.choice(('little', 'big')))
        elif kind==3 and at<len(b): b[at] ^= 1<<rng.randrange(8)
        elif kind==4: del b[at:]
        elif kind==5: del b[at:at+rng.choice((1, 4, 100, 1000))]
        elif kind==6: b[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind==7: b[at:at] = b[at:at+rng.choice((4, 50, 1000))]
        elif others:
            other = rng.choice(others)
            cut = rng.randrange(len(other)+1)
            b[at:] = other[cut:]
    return bytes(b)

def nodes(tree):
    "All places (holder, key) in nested dicts and lists."
    found, todo, seen = [], [tree], set()
    while todo:
        x = todo.pop()
        if id(x) in seen or not isinstance(x, (dict, list)): continue
        seen.add(id(x))
        for k in (list(x) if isinstance(x, dict) else range(len(x))): found.append((x, k)); todo.append(x[k])
    return found

def hurt_tree(rng, tree, wild=wild):
    "Nested values with one change or more: other types and values, lost, renamed, moved."
    box = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = rng.choice(nodes(box))
        kind = rng.randrange(10)
        if kind==0 and holder is not box: del holder[key]
        elif kind==1 and isinstance(holder, dict): holder[rng.choice(TEXTS)] = holder.pop(key)
        elif kind==2: holder[key] = rng.choice(([holder[key]], {'a': holder[key]}))
        elif kind==3:
            other, k = rng.choice(nodes(box))
            holder[key] = copy.deepcopy(other[k])
        elif kind==4 and isinstance(holder, dict): holder[rng.choice(TEXTS)] = wild(rng)
        else: holder[key] = wild(rng)
        if not nodes(box): box = [None]
    return box[0]

def as_json(rng, tree):
    "JSON text of a damaged tree, now and then damaged as text, too."
    text = json.dumps(tree, ensure_ascii=rng.random()<.5)
    text = text.replace('"@deep@"', '['*99_999+']'*99_999).replace('"@digits@"', '9'*5000)
    return hurt_text(rng, text) if rng.random()<.25 else text.encode('utf-8', 'surrogatepass')

def hurt_text(rng, text):
    "Text as bytes: twice the key, rubbish at the end, other encodings, cut, bytes changed."
    kind, some = rng.randrange(8), text.encode('utf-8', 'surrogatepass')
    if kind==0: return some.replace(b'{', b'{"a": 1, "a": [], ', 1)
    if kind==1: return some+rng.choice((b'{}', b'x', b'\0', b'\n\n'))
    if kind==2: return text.encode(rng.choice(('utf-16', 'utf-32', 'utf-8-sig', 'utf-7', 'cp500')), 'replace')
    if kind==3: return some[:rng.randrange(len(some)+1)]
    if kind==4: return b''
    if kind==5: return some.replace(b'\n', rng.choice((b'\r\n', b'\r', b'\n\n', b'\0\n')))
    return hurt(rng, some)

def special(rng, path):
    "Something at `path` that is no regular file; what."
    kind = rng.choice(('nothing', 'folder', 'fifo', 'loop', 'dangling', 'device', 'socket', 'empty'))
    if kind=='folder': path.mkdir()
    elif kind=='fifo': os.mkfifo(path)
    elif kind=='loop': path.symlink_to(path.name)
    elif kind=='dangling': path.symlink_to('gone')
    elif kind=='device': path.symlink_to('/dev/zero')
    elif kind=='socket': os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind=='empty': path.touch()
    return kind

def odd(rng, path):
    "Now and then: something special where a file is expected. Its name, or nothing."
    return special(rng, path) if rng.random()<.03 else ''

# ---- real files ----

def encode(path, codec, sounds, rate, layout='stereo', form=None):
    "A file of FFmpeg's, with one stream for each sound (c l)."
    with av.open(str(path), 'w', format=form) as c:
        streams = [c.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000) for _ in sounds]
        for s, x in zip(streams, sounds):
            kind, start = s.codec_context.format or av.AudioFormat('fltp'), 0
            size = s.codec_context.frame_size or 1024
            for start in range(0, x.shape[1], size):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x[:, start:start+size]), 'fltp',
                                                   layout)
                frame.sample_rate, frame.pts = rate, start
                frame = av.AudioResampler(kind.name, layout, rate).resample(frame)
                for f in frame:
                    for packet in s.encode(f): c.mux(packet)
            for packet in s.encode(None): c.mux(packet)

def make_sounds(folder, track):
    "A fifth of a second of a demo song in every format: name -> bytes, and what is in it."
    x, rate = track.mixture(0, 9000), track.rate
    found = {}
    def add(name, suffix, make):
        path = folder/f'{name}{suffix}'
        make(path)
        found[name] = suffix, path.read_bytes()
    put = lambda form, kind, sound=x, sr=rate: lambda p: sf.write(p, sound.T.numpy(), sr, kind, format=form)
    for name, suffix, form, kind in [
            ('wav8', '.wav', 'WAV', 'PCM_U8'), ('wav16', '.wav', 'WAV', 'PCM_16'),
            ('wav24', '.wav', 'WAV', 'PCM_24'), ('wavfloat', '.wav', 'WAV', 'FLOAT'),
            ('wavdouble', '.wav', 'WAV', 'DOUBLE'), ('wavex', '.wav', 'WAVEX', 'PCM_16'),
            ('adpcm', '.wav', 'WAV', 'IMA_ADPCM'), ('gsm', '.wav', 'WAV', 'ULAW'),
            ('rf64', '.wav', 'RF64', 'PCM_16'), ('w64', '.w64', 'W64', 'PCM_16'),
            ('aiff', '.aiff', 'AIFF', 'PCM_16'), ('au', '.au', 'AU', 'FLOAT'),
            ('caf', '.caf', 'CAF', 'PCM_24'), ('alaccaf', '.caf', 'CAF', 'ALAC_16'),
            ('flac16', '.flac', 'FLAC', 'PCM_16'), ('flac24', '.flac', 'FLAC', 'PCM_24'),
            ('ogg', '.ogg', 'OGG', 'VORBIS'), ('opus', '.opus', 'OGG', 'OPUS'),
            ('mp3', '.mp3', 'MP3', 'MPEG_LAYER_III')]:
        add(name, suffix, put(form, kind, *((x[:, :4800*2], 48000) if kind=='OPUS' else ())))
    add('mono', '.wav', put('WAV', 'PCM_16', x[:1], 8000))
    y = x.numpy().astype(np.float32)
    for name, suffix, codec, form in [('m4a', '.m4a', 'aac', 'ipod'), ('alac', '.m4a', 'alac', 'ipod'),
                                      ('aac', '.aac', 'aac', 'adts'), ('mkv', '.mkv', 'flac', None),
                                      ('mka', '.mka', 'pcm_s16le', 'matroska'),
                                      ('wma', '.wma', 'wmav2', 'asf'), ('avi', '.avi', 'libmp3lame', None),
                                      ('mov', '.mov', 'pcm_s16le', None)]:
        add(name, suffix, lambda p: encode(p, codec, [y], rate, form=form))
    stems = [y]+[track.stem(k, 0, 9000).numpy().astype(np.float32)
                 for k in ('drums', 'bass', 'other', 'vocals')]
    add('stem.mp4', '.stem.mp4', lambda p: encode(p, 'aac', stems, rate, form='mp4'))
    return found

def make_data(folder, track):
    "Four songs of 0.4 s, in MUSDB18-HQ's layout."
    for n, place in enumerate(('train/A', 'train/B b', 'train/C', 'test/D')):
        for k in ('vocals', 'drums', 'bass', 'other'):
            x = track.stem(k, 15_000*n, 17_640)
            write(folder/place/f'{k}.wav', x, track.rate, '16')
    return folder

def magronp(model):
    "Weights of a model of ours, under the names of magronp."
    w = {}
    for i, v in enumerate(model.split.views()):
        w |= {f'BN.{i}.0.weight': v.gain[0], f'BN.{i}.0.bias': v.offset[0],
              f'BN.{i}.1.weight': v.weight.T[:, :, None], f'BN.{i}.1.bias': v.bias}
    for l, pair in enumerate(model.seq.pairs):
        for name, layer in [('time_net', pair.time), ('band_net', pair.band)]:
            w |= {f'separator.{l}.{name}.'+k.replace('rnn.', 'main_layer.').replace('fc.', 'proj.'): p
                  for k, p in layer.named_parameters()}
    for s, bands in enumerate(model.maskest.views()):
        for i, v in enumerate(bands):
            w |= {f'maskers.{s}.mask.{i}.0.weight': v.gain[0], f'maskers.{s}.mask.{i}.0.bias': v.offset[0]}
            for j, (weight, bias) in zip((1, 3, 5), v.layers):
                w |= {f'maskers.{s}.mask.{i}.{j}.weight': weight.T[:, :, None],
                      f'maskers.{s}.mask.{i}.{j}.bias': bias}
    return {k: v.detach().clone() for k, v in w.items()}

def crlandsc(model):
    "Weights of a model of ours, under the names of crlandsc, whose last matrix is two."
    w = {}
    for i, v in enumerate(model.split.views()):
        w |= {f'bandsplit.layernorms.{i}.weight': v.gain.T, f'bandsplit.layernorms.{i}.bias': v.offset.T,
              f'bandsplit.fcs.{i}.weight': v.weight.T, f'bandsplit.fcs.{i}.bias': v.bias}
    for l, pair in enumerate(model.seq.pairs):
        for d, layer in enumerate([pair.time, pair.band]):
            w |= {f'bandsequence.bsrnn.{l}.{d}.'+('group' if k.startswith('norm') else '')+k: p
                  for k, p in layer.named_parameters()}
    for i, v in enumerate(model.maskest.views()[0]):
        (w1, b1), (w2, b2) = v.layers
        n = w2.shape[1]
        w |= {f'maskest.layernorms.{i}.weight': v.gain, f'maskest.layernorms.{i}.bias': v.offset,
              f'maskest.mlp.{i}.mlp.0.weight': w1.T, f'maskest.mlp.{i}.mlp.0.bias': b1,
              f'maskest.mlp.{i}.mlp.2.weight': w2.T, f'maskest.mlp.{i}.mlp.2.bias': torch.zeros(n),
              f'maskest.mlp.{i}.mlp.3.linear.weight': torch.eye(n), f'maskest.mlp.{i}.mlp.3.linear.bias': b2}
    return {k: v.detach().clone() for k, v in w.items()}

def make_models(folder):
    "Small models of ours, a bag, and the same as checkpoints of others: what they hold."
    torch.manual_seed(0)
    size = dict(n_fft=256, hop=64, n_feats=8, n_layers=1, mask_factor=1, eps=1e-7)
    config = preset_config('paper', 'vocals', bands=(60, 69), **size)
    S.model, S.other = BSRNN(config).eval(), BSRNN(preset_config('paper', 'bass', bands=(60, 69),
                                                                 **size)).eval()
    old = BSRNN(preset_config('paper', 'drums', bands=(60, 69), stereo='joint', legacy='crlandsc', frames=44,
                              mask_layers=1, norm_groups=8, **{**size, 'eps': 1e-5})).eval()
    S.x = .1*torch.randn(1, 2, 2000)
    S.weights = {}
    for name, m in [('one', S.model), ('bag', Bag([S.model, S.other], [1, 3]))]:
        S.weights[name] = save_model(m, folder/f'{name}.safetensors', epoch=3).read_bytes()
    with torch.no_grad(): S.estimates = {'one': S.model(S.x), 'magronp': S.model(S.x), 'crlandsc': old(S.x)}
    S.checkpoints = {
        'magronp': dict(state_dict=magronp(S.model),
                        hyper_parameters=dict(targets=['vocals'], sample_rate=44100, n_fft=256,
                        n_hop=64, group_num=1), epoch=7),
        'crlandsc': dict(state_dict={f'model.{k}': v for k, v in crlandsc(old).items()}, epoch=3,
                         hyper_parameters=dict(
            model=dict(sr=44100, num_layers=1), train_dataset=dict(target='drums'),
            featurizer=dict(direct_transform=dict(hop_length=64))))}
    state = S.checkpoints['crlandsc']['state_dict']
    S.checkpoints['crlandsc']['optimizer_states'] = [{'ema': list(state.values())}]

def make_seeds(folder):
    "All real files that are damaged later."
    folder.mkdir()
    track = toy_track(2)
    S.folder, S.sounds, S.data, S.song = folder, make_sounds(folder, track), make_data(folder/'data',
                                                                                       track), track
    make_models(folder)
    S.blobs = {name: blob for name, (_, blob) in S.sounds.items()}
    S.truth = track.mixture(0, 9000)
    kept = os.environ['BSRNN_DATA']
    os.environ['BSRNN_DATA'] = str(folder/'prepared')
    S.report, lists = prepare_dataset(S.data, workers=1, progress=False)
    os.environ['BSRNN_DATA'] = kept
    S.prepared = {p.relative_to(folder/'prepared'): p.read_bytes() for p in (folder/'prepared').rglob('*')
                  if p.is_file()}
    S.sad = (lists/'vocals_train.txt').read_text()+'C\t0\t5000\n'
    S.tracks = find_tracks(S.data, 'train')
    m = corrupt(S.tracks, S.data, 'bleeding', .5)
    for i, s in enumerate(s for song in m.tracks.values() for s in song.values()):
        s.update(loudest='drums', level=float(i)-5, usdr=float(i), keep=bool(i%2), why='level')
    S.manifest = dict(originals=str(S.data), made=m.made, tracks=m.tracks, stems={'rest': ['other']})
    for s in S.manifest['tracks'].values(): s['rest'] = s.pop('other')
    text = json.dumps(S.manifest['tracks']).replace('"stem": "other"', '"stem": "rest"')
    S.manifest['tracks'] = json.loads(text)
    S.scores = score_rows(folder)

def score_rows(folder):
    "A table of scores, museval's JSON and a kept song, as a run leaves them."
    from bsrnn.testset import evaluate_tracks
    test = find_tracks(S.data, 'test')
    out = folder/'scores'
    evaluate_tracks(test, ['vocals', 'drums'], lambda x, rate: torch.stack([x, 0*x]), out, version='1',
                    progress=False)
    return {p.relative_to(out): p.read_bytes() for p in out.rglob('*') if p.is_file()}

# ---- sounds ----

def ogg_sums(b):
    "The checksums of all pages made right: libogg drops others before anybody reads them."
    b, at = bytearray(b), b.find(b'OggS')
    while 0<=at<=len(b)-27:
        n = b[at+26]
        end = at+27+n+sum(b[at+27:at+27+n])
        b[at+22:at+26], c = bytes(4), 0
        for byte in b[at:end]: c = (c<<8 & 0xffffffff) ^ CRC[(c>>24) ^ byte]
        b[at+22:at+26] = c.to_bytes(4, 'little')
        at = b.find(b'OggS', end)
    return bytes(b)

def _crc(i):
    i <<= 24
    for _ in range(8): i = (i<<1) ^ (0x04c11db7 if i & 0x80000000 else 0)
    return i & 0xffffffff
CRC = [_crc(i) for i in range(256)]

BOXES = (b'moov trak mdia minf stbl stsd stts stsc stsz stco mdhd tkhd mvhd elst hdlr esds mp4a alac wave '
         b'ftyp fmt  data fact RIFF '
         b'COMM SSND desc pakt chan fLaC Xing Info LAME TAG OggS vorbis Opus 3000 auds strf strh').split(b' ')

def heads(blob):
    "Places of headers: the beginning, and what follows names of boxes and chunks."
    found = list(range(min(100, len(blob))))
    for name in BOXES:
        at = blob.find(name) if name else -1
        while at>=0 and len(found)<2000: found += range(max(0, at-4), at+24); at = blob.find(name, at+1)
    return found

FIELDS = [  # of headers: name, places behind its beginning, size, order
    (b'fmt ', (8, 10, 20, 22), 2, 'little'), (b'fmt ', (4, 12, 16), 4, 'little'),
    (b'data', (4,), 4, 'little'), (b'RIFF', (4,), 4, 'little'), (b'ds64', (8, 16, 24), 8, 'little'),
    (b'fact', (8,), 4, 'little'), (b'COMM', (8, 14, 16), 2, 'big'), (b'COMM', (4, 10), 4, 'big'),
    (b'SSND', (4, 8), 4, 'big'), (b'.snd', (4, 8, 12, 16, 20), 4, 'big'),
    (b'desc', (12, 28, 32, 36), 8, 'big'), (b'pakt', (12, 20, 28), 8, 'big'), (b'OggS', (6,), 8, 'little'),
    (b'\x01vorbis', (11,), 1, 'big'), (b'\x01vorbis', (12, 16, 20), 4, 'little'),
    (b'OpusHead', (9,), 1, 'big'), (b'OpusHead', (10, 16), 2, 'little'), (b'OpusHead', (12,), 4, 'little'),
    (b'Xing', (4, 8, 12), 4, 'big'), (b'Info', (4, 8, 12), 4, 'big'), (b'mdhd', (16, 20), 4, 'big'),
    (b'mvhd', (16, 20), 4, 'big'), (b'tkhd', (24,), 4, 'big'), (b'elst', (8, 12, 16), 4, 'big'),
    (b'stts', (8, 12, 16), 4, 'big'), (b'stsz', (8, 12, 16), 4, 'big'), (b'stsc', (8, 12, 16), 4, 'big'),
    (b'stco', (8, 12), 4, 'big'), (b'mp4a', (20, 22), 2, 'big'), (b'mp4a', (28,), 4, 'big'),
    (b'alac', (20, 22, 36), 2, 'big'), (b'strh', (24, 28, 36, 40), 4, 'little'),
    (b'strf', (10,), 2, 'little'), (b'strf', (12, 16), 4, 'little')]

def lie(rng, blob):
    "A header that says something else: a rate, a number of channels, a length."
    b, found = bytearray(blob), [(at, *rest) for name, *rest in FIELDS
                                 for at in [m.start() for m in re.finditer(re.escape(name), blob)]]
    if b[:4]==b'fLaC':                                      # rate 20 bits, channels 3, bits 5, samples 36
        v, (low, size) = int.from_bytes(b[18:26],
                                        'big'), rng.choice(((44, 20), (41, 3), (36, 5), (0, 36), (0, 36)))
        v = v & ~((2**size-1)<<low) | rng.choice((0, 1, 2**size-1, 2**(size-1), rng.randrange(2**size)))<<low
        b[18:26] = v.to_bytes(8, 'big')
    for _ in range(rng.choice((1, 1, 2))):
        if not found: break
        at, places, size, order = rng.choice(found)
        top, old = 2**(8*size)-1, at+rng.choice(places)
        v = rng.choice((0, 1, 2, 3, 255, top, top-1, top//2, top//2+1, top//16, rng.randint(0, top), 10**5,
                        10**9, 2**40)) & top
        b[old:old+size] = v.to_bytes(size, order)
    return bytes(b)

@reader(.32)
def audio(rng, at, fair):
    "Sounds through info, read, tags, blocks and Track."
    name = rng.choice(list(S.sounds))
    suffix, blob = S.sounds[name]
    if not fair:
        blob = lie(rng, blob) if rng.random()<.4 else hurt(rng, blob, list(S.blobs.values()), heads(blob))
        if suffix in ('.ogg', '.opus') and rng.random()<.7: blob = ogg_sums(blob)
        if rng.random()<.1: suffix = rng.choice(['.wav', '.flac', '.mp3', '.ogg', '.m4a', '.raw', '', '.txt',
                                                 '.stem.mp4'])
    do = rng.choice(('whole', 'part', 'rate', 'blocks', 'track', 'stream'))
    f = at/f'song{suffix}'
    if fair or not (kind := odd(rng, f)): kind = name; f.write_bytes(blob)
    yield f'{kind} as song{suffix}, {do}'
    if do=='track': return track_of(rng, at, f, fair)
    i = info(f)
    hold(all(type(v) is int for v in (i.rate, i.channels, i.frames, i.streams)), f'{i}')
    hold(i.rate>0 and i.channels>0 and i.frames>=0 and i.streams>0, f'{i}')
    if do=='part':
        x, rate = read(f, 1000, 500)
        hold(x.shape[0]==i.channels and x.shape[1]<=500 and rate==i.rate, f'{x.shape} of {i}')
        if fair and name!='mono': hold(x.shape[1]==500, 'a part is short')
    elif do=='rate':
        n = rng.choice((4000, None))
        x, rate = read(f, 100, n, rate=22050)
        hold(x.shape[0]==i.channels and x.shape[1]<=(n or 2+i.frames*22050/i.rate) and rate==22050,
             f'{x.shape} of {i}')
    elif do=='blocks':
        some = list(blocks(f, 1000))
        hold(all(x.shape[0]==i.channels and x.isfinite().all() for x in some), f'blocks of {i}')
        hold(sum(x.shape[1] for x in some)<=i.frames, f'more than {i}')
        hold(all(isinstance(k, str) and isinstance(v, str) for k, v in tags(f).items()), 'tags')
    else:
        n = rng.choice((0, 0, 1, i.streams-1)) if do=='stream' and not fair else 0
        x, rate = read(f, stream=n)
        j = info(f, n)
        hold(x.dtype==torch.float32 and x.shape[0]==j.channels and x.shape[1]<=j.frames and rate==j.rate,
             f'{x.shape} of {j}')
        if fair and suffix in ('.wav', '.flac', '.w64', '.aiff', '.au', '.caf', '.mkv', '.mka',
                               '.mov') and name!='adpcm':
            n, near = min(x.shape[1], 9000), .04 if name in ('wav8', 'gsm') else 1e-4
            hold(n>8500 and (x[:, :n]-S.truth[:len(x), :n]).abs().max()<near, f'{name} read wrongly')

def track_of(rng, at, f, fair):
    "The file as a track's: a stem among others, or all of them."
    if f.name.endswith('.stem.mp4'): t = Track(f)
    else:
        song = at/'Song'
        song.mkdir()
        if os.path.lexists(f): os.rename(f, song/f'vocals{f.suffix}')
        (song/'drums.wav').write_bytes(S.sounds['wav16'][1])
        t = Track(song)
    hold(t.frames>=0 and t.stems, 'no stems')
    if rng.random()<.2: t.stem(t.stems[0])
    for k in t.stems:
        x = t.stem(k, 500, 1000)
        hold(x.shape==(2, 1000) and x.dtype==torch.float32, f'{k} {x.shape}')
    hold(t.mixture(0, 300).shape==(2, 300), 'mixture')

# ---- lists, reports, manifests ----

@reader(.05)
def sad_list(rng, at, fair):
    "Lists of salient segments."
    lines = [line.split('\t') for line in S.sad.splitlines()]
    if not fair:
        for _ in range(rng.choice((1, 2))):
            line = rng.choice(lines)
            kind = rng.randrange(5)
            if kind==0 and line: line.pop(rng.randrange(len(line)))
            elif kind==1: line.insert(rng.randrange(len(line)+1),
                                      str(wild(rng)).replace('@digits@', '9'*5000))
            elif line: line[rng.randrange(len(line))] = rng.choice((str(wild(rng))[:2000], 20*'9', 5000*'9'))
    text = '\n'.join('\t'.join(line) for line in lines)+'\n'
    harm = not fair and rng.random()<.4
    blob = hurt_text(rng, text) if harm else text.encode('utf-8', 'surrogatepass')
    f = at/'vocals_train.txt'
    if fair or not odd(rng, f): f.write_bytes(blob)
    yield blob[:300]
    found = read_sad(f)
    hold(all(type(a) is int and type(b) is int and 0<=a<b for some in found.values() for a, b in some),
         'no segments')
    if fair: hold(sum(map(len, found.values()))==S.sad.count('\n'), 'lost segments')
    load_segments(at, ['vocals', 'drums'])
    Mixer(S.tracks, 'vocals', seconds=.1, segments={'vocals': found})[rng.randrange(5)]
    write_sad(at.parent/'out/again.txt', found)
    hold(read_sad(at.parent/'out/again.txt')==found, 'written and read again they differ')

@reader(.04)
def prepared(rng, at, fair):
    "Reports, notes and lists that an earlier look at a dataset left."
    files = dict(S.prepared)
    hurts = [] if fair else rng.sample(sorted(files), rng.choice((1, 1, 3)))
    for p in hurts:
        files[p] = (as_json(rng, hurt_tree(rng, json.loads(files[p]))) if p.suffix=='.json'
                    else hurt_text(rng, files[p].decode()))
    for p, blob in files.items():
        to = at.parent/'out/data'/p
        to.parent.mkdir(parents=True, exist_ok=True)
        if fair or p not in hurts or not odd(rng, to): to.write_bytes(blob)
        (at/'-'.join(p.parts)).write_bytes(blob)
    yield [str(p) for p in hurts]
    found = segments_for(S.data, S.tracks, progress=False)
    hold(set(found)<={'vocals', 'drums', 'bass', 'other'} and all(
        0<=a<b for k in found.values() for some in k.values() for a, b in some), f'{found}')

@reader(.08)
def manifest(rng, at, fair):
    "Manifests: read, laid over the tracks, filtered, heard."
    blob = json.dumps(S.manifest).encode() if fair else as_json(rng, hurt_tree(rng, S.manifest))
    f = at/('m.json' if fair or rng.random()<.95 else rng.choice(('m.JSON', 'm.txt', 'm', '.json')))
    if fair or not odd(rng, f): f.write_bytes(blob)
    do = rng.choice(('tracks', 'split', 'label', 'label', 'review', 'print', 'save'))
    yield f'{do}, {blob[:200]!r}'
    if do=='tracks':
        for t in find_tracks(f, 'train'):
            for k in t.stems: hold(t.stem(k, 50, 300).shape==(2, 300), k)
    elif do=='split': hold(len(split_dataset(f, 'vocals').train)>0, 'nothing to learn from')
    elif do=='print': hold(re.fullmatch('[0-9a-f]{16}', fingerprint(f)), 'no fingerprint')
    elif do=='review': LabelReview(f, n=2).decide('accept')
    elif do=='save':
        m = Manifest.read(f)
        m.save(at.parent/'out/again.json')
        again = Manifest.read(at.parent/'out/again.json')
        hold(json.dumps(again.tracks)==json.dumps(m.tracks), 'saved and read again they differ')
    else:
        m, rule = Manifest.read(f), rng.choice(('level', 'sdr'))
        hold(len(manifest_table(m))==sum(map(len, m.tracks.values())), 'lost stems')
        kept = filter_stems(m, rule, rng.choice((None, 3.)))
        hold(doubtful(m, 3, rule).shape[0]<=3, 'more than three')
        precision_recall(kept)

# ---- models ----

def tensors_of(blob):
    n = int.from_bytes(blob[:8], 'little')
    return json.loads(blob[8:8+n]), blob[8+n:]

def safetensors(rng, blob):
    "A damaged file of weights: bytes, header, or the configuration in it."
    kind = rng.randrange(3)
    if kind==0: return hurt(rng, blob, list(S.weights.values()), range(1200))
    header, data = tensors_of(blob)
    if kind==1: header = hurt_tree(rng, header)
    else:
        more, k = header['__metadata__'], rng.choice(['config', 'provenance', 'config'])
        more[k] = as_json(rng, hurt_tree(rng, json.loads(more[k]))).decode('utf-8', 'replace')
    text = as_json(rng, header) if kind==1 else json.dumps(header).encode()
    size = len(text) if rng.random()<.95 else rng.choice((0, 2**63, 2**64-1, len(text)+9, 10**8))
    return size.to_bytes(8, 'little')+text+data

def answers(model, want=None):
    "A model must answer with its targets' waveforms."
    c, x = model.config, S.x
    if len(c.targets)>10: x = x[..., :100]
    if c.segment: x = x[..., :c.segment]
    with torch.no_grad(): y = model(x)
    hold(y.shape==(1, len(c.targets), *x.shape[1:]), f'{tuple(y.shape)}')
    if want is not None: hold(torch.allclose(y, want, atol=1e-5), 'another answer than the original')

@reader(.1)
def weights(rng, at, fair):
    "Model files of ours, alone and as runs."
    name = rng.choice(list(S.weights))
    blob = S.weights[name] if fair else safetensors(rng, S.weights[name])
    f = at/'model.safetensors'
    if fair or not odd(rng, f): f.write_bytes(blob)
    do = rng.choice(('load', 'open', 'run', 'bag'))
    if do=='bag': (at/'good.safetensors').write_bytes(S.weights['one'])
    yield f'{name}, {do}, {blob[:300]!r}'
    if do=='load': model = load_model(f)
    elif do=='open': model = open_model(str(f))
    elif do=='run': model = open_model(at)
    else: model = open_model([f, at/'good.safetensors'], weights=[1, 2])
    answers(model, S.estimates['one'] if fair and name=='one' and do!='bag' else None)

def code(rng, canary):
    "An object whose pickle calls something, once it is loaded by a reader that allows that."
    calls = [(os.system, (f'touch {canary}',)), (eval, (f'open({canary!r}, "w")',)),
             (exec, (f'open({canary!r}, "w")',)), (subprocess.Popen, (['touch', canary],)),
             (Path.touch, (Path(canary),)), (open, (canary, 'w')), (os.mknod, (canary,)),
             (shutil.copy, (os.devnull, canary)), (getattr, (os, 'system')), (np.save, (canary, np.zeros(1))),
             (torch.save, ({}, canary)), (torch.load, (canary,)),
             (np.memmap, (canary, 'uint8', 'w+', 0, (9,))), (os.mkdir, (canary,)),
             (pickle.loads, (b'cos\nsystem\n(Vtouch '+canary.encode()+b'\ntR.',)),
             (torch.hub.load, (canary, 'x'))]
    f, args = rng.choice(calls)
    return type('Evil', (), {'__reduce__': lambda self: (f, args), '__deepcopy__': lambda self, memo: self})()

def orders(rng, canary):
    "Bytes of a pickle written by hand: calls by way of every order that can call."
    c = canary.encode()
    name = rng.choice((b'cposix\nsystem\n', b'cos\nsystem\n', b'cbuiltins\neval\n', b'c__builtin__\nexec\n',
                       b'ctyping\nsys.modules\n', b'\x8c\x07pathlib\x8c\x09os.system\x93',
                       b'\x8c\x04enum\x8c\x0asys.modules\x93', b'cpathlib\nPosixPath\n',
                       b'\x8c\x09omegaconf\x8c\x09os.system\x93', b'ctorch.serialization\nos.system\n',
                       b'ccollections\nOrderedDict\n', b'ctorch._utils\n_rebuild_tensor_v2\n',
                       b'cnumpy.core.multiarray\nscalar\n', b'c_codecs\nencode\n', b'cbuiltins\ndict\n'))
    arg = b'(X'+len(b'touch '+c).to_bytes(4, 'little')+b'touch '+c+b't'
    use = rng.choice((name+arg+b'R', name+b')\x81'+arg+b'b', b'('+arg[1:-1]+b'i'+b'os\nsystem\n',
                      b'('+name+arg[1:-1]+b'o', name+arg+b'\x81', name+b'}'+arg+b'\x92',
                      name+b'(X\x01\0\0\0aX\x01\0\0\0bu', name+b']'+arg+b'e', b'P0\n'+name, arg+b'Q',
                      name+b'N'*50, b'\x82\x01', b'\x80\xff'+name, b'(l.', b'0', b'2'*100,
                      b'\x95'+b'\xff'*8+name, b'j\xff\xff\xff\x7f', b'r\xff\xff\xff\xff',
                      b'I'+b'9'*5000+b'\n', b'\x8b\xff\xff\xff\x7f', b'T\xff\xff\xff\x7fa',
                      b'B\xff\xff\xff\x7fa'))
    key = b'X\x0a\0\0\0state_dict'
    return rng.choice((b'\x80\x02}'+key+use+b's.', b'\x80\x02'+use+b'.', b'\x80\x04}'+key+use+b's.', use))

def zipped(path, pkl, more=()):
    with zipfile.ZipFile(path, 'w') as z:
        for name, data in [('a/data.pkl', pkl), ('a/version', b'3\n'), ('a/byteorder', b'little'),
                           *more]: z.writestr(name, data)

class Tensor:
    "Pickled as a tensor with whatever sizes, strides and offset, over a storage of its own."
    def __init__(self, storage, *how): self.storage, self.how = storage, how
    def __deepcopy__(self, memo): return self
    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (self.storage, *self.how, False, OrderedDict())

def wild_tensor(rng):
    "Tensors and other things that no state of a network holds."
    n = rng.choice((0, 1, 7, 8, 64, 2**31, 2**40, -1))
    kind = rng.randrange(12)
    if kind==0: return Tensor(torch.zeros(8).storage(), rng.choice((0, 1, -1, 2**62)), (n,),
                              (rng.choice((0, 1, -1, 2**40)),))
    if kind==1: return torch.zeros(1, 1,
                                   1).expand(rng.choice(((10**6, 8, 1), (8, 10**9, 1), (2**20, 2**20, 1))))
    if kind==2: return torch.zeros(8,
                                   8).to(rng.choice((torch.int8, torch.int64, torch.bool, torch.complex64,
                                                     torch.float64, torch.bfloat16, torch.float8_e4m3fn)))
    if kind==3: return torch.full((8,), rng.choice((math.nan, math.inf)))
    if kind==4: return torch.zeros(rng.choice(((), (0,), (1,), (8, 8, 1), (8, 0, 1), (1,)*20)))
    if kind==5: return torch.eye(8).to_sparse()
    if kind==6: return torch.zeros(8, device='meta')
    if kind==7: return torch.quantize_per_tensor(torch.zeros(8), .1, 0, torch.qint8)
    if kind==8: return torch.nn.Parameter(torch.zeros(8, 8))
    if kind==9: return knot(rng)
    if kind==10: return np.float64(1.)
    return wild(rng)

def knot(rng):
    "A list that is small in a file and endless, or enormous, when it is walked through."
    x = ['a']
    if rng.random()<.4: x.append(x); return x
    if rng.random()<.3:
        x = {}
        x['a'] = x
        return x
    for _ in range(60): x = [x, x]
    return x

@reader(.12)
def checkpoint(rng, at, fair):
    "Checkpoints of other projects; some try to run code."
    name, f, canary = rng.choice(list(S.checkpoints)), at/'their.ckpt', str(at.parent.parent/'canary')
    held, new, say = S.checkpoints[name], rng.random()<.7, name
    kind = 0 if fair else rng.randrange(6)
    pool = lambda rng: code(rng, canary) if kind==3 else wild_tensor(rng)
    if kind in (1, 2, 3): held = hurt_tree(rng, held, pool)
    if kind==4: zipped(f, orders(rng, canary)) if new else f.write_bytes(orders(rng, canary))
    else:
        try: torch.save(held, f, _use_new_zipfile_serialization=new)
        except Exception: torch.save(hurt_tree(rng, S.checkpoints[name], lambda rng: None),
                                     f)       # not all can be pickled
    if kind==5 or kind==4 and rng.random()<.3:
        blob = f.read_bytes()
        middle = blob.find(b'state_dict')
        f.write_bytes(hurt(rng, blob, list(S.weights.values()),
                           [*range(200), *range(middle, middle+3000),
                            *range(max(0, len(blob)-3000), len(blob))]))
    if not fair and rng.random()<.02: f.unlink(); special(rng, f)
    how = {} if fair else rng.choice(({}, {}, {}, dict(ema=True), dict(layout='magronp'),
                                      dict(layout='amanteur'), dict(targets='vocals'),
                                      dict(targets=wild(rng)), dict(layout=wild(rng))))
    yield f'{name}, way {kind}, new {new}, {how}'
    if rng.random()<.3 and not how: model = open_model(f)
    else: model = import_model(f, **how)
    answers(model, S.estimates[name] if fair else None)

YAML = ['!!python/object/apply:os.system ["touch {canary}"]', '!!python/name:os.system', '2001-99-99',
        '2001-01-01', '0b', '0x', '1:99:99', '.inf', '!!binary "x"', '!!set {{a, b}}', '!!timestamp x',
        '!!int x', '!!float y', '&a [*a]', '*b', '{{? [a] : b}}', '<<: 3', '"\\ud800"', '~', '- a', 'a: b: c',
        '\t', '%YAML 9.9', '!<tag:x> 1', '[1, [2, [', '@x', '`', '|+2\n x', '9'*5000, '['*3000, '1e999',
        '[&z [{bomb}], *z]', '!!omap [a]', '!!pairs [a: b]']

@reader(.05)
def settings_yaml(rng, at, fair):
    "The yaml file beside a checkpoint that says nothing of itself."
    name = rng.choice(list(S.checkpoints))
    held = S.checkpoints[name]
    torch.save(held['state_dict'], at/'their.pt')
    canary = str(at.parent.parent/'canary')
    tree = held['hyper_parameters'] if fair else hurt_tree(rng, held['hyper_parameters'])
    try: text = yaml.safe_dump(json.loads(json.dumps(tree)))
    except (yaml.YAMLError, ValueError): text = 'targets: ["\\ud800"]'
    bomb = '\n'.join([f'{c}: &{c} [{",".join([f"*{d}"]*9)}]' for c, d in zip('bcdefghij', 'abcdefghi')])
    if not fair and rng.random()<.5:
        line = rng.choice(YAML).format(canary=canary, bomb='1')
        key = rng.choice(('targets', 'n_fft', 'model', 'n_hop', 'sample_rate', 'target'))
        text = rng.choice((f'{text}{key}: {line}\n', line, f'a: &a [1]\n{bomb}\n{key}: *j\n'))
    blob = text.encode() if fair or rng.random()<.8 else hurt_text(rng, text)
    f = at/rng.choice(('hparams.yaml', 'their.hparams.yaml'))
    if fair or not odd(rng, f): f.write_bytes(blob)
    yield f'{name}, {blob[:300]!r}'
    model = import_model(at/'their.pt')
    answers(model, S.estimates[name] if fair else None)

@reader(.03)
def archive(rng, at, fair):
    "Zips of checkpoints."
    f, out = at/'weights.zip', at.parent/'out/unpacked'
    with zipfile.ZipFile(f, 'w', rng.choice((0, 8))) as z:
        for n in ('separator.ckpt', 'notes/readme.txt'): z.writestr(f'weights/{n}', S.blobs['mp3'])
        if not fair:
            for _ in range(rng.choice((0, 1, 1, 2))):
                i = zipfile.ZipInfo(rng.choice([t for t in TEXTS if t and len(t)<1000
                                                and '\ud800' not in t])+rng.choice(('', '/separator.ckpt',
                                                                                    '/../separator.ckpt')))
                i.external_attr = rng.choice((0, 0o120777<<16, 0o4777<<16, 0o020666<<16))
                i.compress_type = rng.choice((0, 8, 12, 14))
                z.writestr(i, rng.choice((b'/etc/passwd', b'x', bytes(10**6))))
    blob = f.read_bytes()
    if not fair and rng.random()<.6:
        spots = [k+i for name in (b'PK\1\2', b'PK\3\4', b'PK\5\6')
                 for k in [m.start() for m in re.finditer(re.escape(name), blob)] for i in range(46)]
        f.write_bytes(hurt(rng, blob, (), spots))
    if not fair and rng.random()<.03: f.unlink(); special(rng, f)
    names = ['separator.ckpt'] if fair or rng.random()<.7 else [wild(rng) if rng.random()<.5
                                                                else rng.choice(TEXTS)]
    if not all(isinstance(n, str) for n in names): names = ['readme.txt']
    yield names
    [path] = unpack(f, names, out)
    hold(path.parent==out and path.is_file() and not path.is_symlink()
         and {p.name for p in out.iterdir()}<={path.name}, f'{path}')
    if fair: hold(path.read_bytes()==S.blobs['mp3'], 'other bytes')

# ---- runs ----

RECORD = dict(kind='train',
              params=dict(target='vocals', seconds=0, subset='test', stems='', resume=False, data=''),
              started='2026-11-23T12:00:00.000', environment=dict(commit='abc', versions={}),
              facts=dict(dataset='/data/musdb18hq', parameters=1.2,
                         recipe=dict(stereo='ms', minutes=14., steps=0)))
RESULT = dict(finished='2026-11-23T12:10:00', summary='vocals: uSDR 1 dB', minutes=9.5)
LIVE = ('step,seconds,loss,lr,examples_per_second,doing\n'
        +''.join(f'{i},{i*.5},{1/(i+1):.5f},0.001,12.5,training\n' for i in range(9)))
LOG = ('step,seconds,loss,lr,valid_usdr,examples_per_second,waiting\n'
       +''.join(f'{i},{i*.5},{1/(i+1):.5f},0.001,{i-3},12.5,0.01\n' for i in range(1, 9)))

def write_run(rng, folder, hurts=(), weights=True, finished=True):
    "A finished training run; files that are named in `hurts` are damaged."
    folder.mkdir(parents=True)
    said = {'params.json': RECORD}|({'result.json': RESULT} if finished else {})
    for name, tree in said.items():
        tree = hurt_tree(rng, tree) if name in hurts else tree
        if name in hurts and odd(rng, folder/name): continue
        (folder/name).write_bytes(as_json(rng, tree) if name in hurts else json.dumps(tree).encode())
    for name, text in {'live.csv': LIVE, 'log.csv': LOG}.items():
        if name in hurts and odd(rng, folder/name): continue
        (folder/name).write_bytes(hurt_table(rng, text) if name in hurts else text.encode())
    if weights: (folder/'model.safetensors').write_bytes(S.weights['one'])
    for p, blob in S.scores.items():
        if 'scores' in hurts and rng.random()<.5:
            if p.suffix=='.json': blob = as_json(rng, hurt_tree(rng, json.loads(blob)))
            else: blob = hurt_table(rng, blob.decode())
        (folder/p).parent.mkdir(parents=True, exist_ok=True); (folder/p).write_bytes(blob)

def hurt_table(rng, text):
    "A table as text with cells changed, lost or added."
    rows = [line.split(',') for line in text.splitlines()]
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        kind = rng.randrange(7)
        if kind==0 and row: row.pop(rng.randrange(len(row)))
        elif kind==1: row.insert(rng.randrange(len(row)+1), str(rng.choice(TEXTS)))
        elif kind==2: rows.remove(row); rows = rows or [['']]
        elif kind==3: rows.insert(rng.randrange(len(rows)+1), rng.choice(([''], list(row), [], ['"'], ['#'])))
        elif row: row[rng.randrange(len(row))] = str(rng.choice(TEXTS+[str(n) for n in NUMBERS]))
    out = '\n'.join(','.join(row) for row in rows)+'\n'
    return hurt_text(rng, out) if rng.random()<.3 else out.encode('utf-8', 'surrogatepass')

@reader(.08)
def run_records(rng, at, fair):
    "params.json, result.json and scores of runs."
    os.environ['BSRNN_OUTPUTS'] = str(at)
    bad = [] if fair else rng.choice((['params.json'], ['params.json'], ['result.json'],
                                      ['params.json', 'result.json', 'scores']))
    write_run(rng, at/'train-a', bad); write_run(rng, at/'train-b')
    if rng.random()<.3: write_run(rng, at/'c', bad, False, False)
    if not fair and rng.random()<.05: special(rng, at/'odd')
    do = rng.choice(('runs', 'newest', 'unfinished', 'recipe', 'of', 'agreed', 'measured', 'run', 'start',
                     'view'))
    said = [(at/f'train-a/{k}').read_bytes()[:150] for k in bad if (at/f'train-a/{k}').is_file()
            and not (at/f'train-a/{k}').is_symlink()]
    yield f'{do}, {said}'
    run = Run(at/'train-a')
    if do=='runs':
        found = [r.folder.name for r in runs(rng.choice(('', 'train')))]
        hold('train-b' in found and (not fair or 'train-a' in found), f'{found}')
    elif do=='newest': hold(Path(newest_model()).name in ('train-a', 'train-b'), 'no run')
    elif do=='unfinished': hold(find_unfinished('train', dict(target='bass', resume=True)) is None
                                or not fair, 'another one')
    elif do=='recipe':
        r = recipe_of(f'{at}/train-a')
        hold(isinstance(r, dict) and (not fair or r['stereo']=='ms'), f'{r}')
    elif do=='of': hold(len(runs_of(f'{at}/train-a,{at}/train-b'))==2, 'lost')
    elif do=='agreed': agreed([at/'train-a', at/'train-b'], 'facts', 'dataset')
    elif do=='measured': comparable(pd.concat([published(), measured()]))
    elif do=='run':
        hold(all(isinstance(x, dict) for x in (run.record, run.params, run.result)), 'no dict')
        run.note(seen=True); hold(run.record['facts']['seen'] is True, 'not noted')
    elif do=='start':
        with contextlib.redirect_stdout(io.StringIO()):
            r = start_run('train', dict(target='vocals', resume=True))
        hold(r.record['kind']=='train', 'no run')
    else:
        view = TrainingView(run)
        hold(view.state in ('finished', 'stopped') and view.said.value, view.state)

@reader(.04)
def curves(rng, at, fair):
    "live.csv and log.csv of a run."
    bad = [] if fair else rng.choice((['live.csv'], ['log.csv'], ['live.csv', 'log.csv']))
    write_run(rng, at/'run', bad)
    do = rng.choice(('live', 'live', 'plot', 'log', 'view'))
    yield f'{do}, {bad}'
    if do=='live':
        rows = read_live(at/'run/live.csv')
        hold(all(set(r)==set(Log.now)
                 and all(isinstance(v, (int, float)) for k, v in r.items() if k!='doing') for r in rows),
                 f'{rows}')
        if fair: hold(len(rows)==9, 'lost lines')
    elif do=='plot': hold(len(plot_training(at/'run').axes)==2, 'no picture')
    elif do=='log':
        log = Log(at/'run', 5); log.close()
        if fair: hold(len(log.rows)==5, 'lost rows')
    else: hold(TrainingView(at/'run').said.value, 'nothing said')

@reader(.06)
def scores(rng, at, fair):
    "Score tables and museval's files."
    write_run(rng, at/'a', [] if fair else ['scores']); write_run(rng, at/'b')
    do = rng.choice(('folder', 'csv', 'museval', 'one', 'report'))
    if not fair and rng.random()<.05: (at/'a/scores.csv').unlink(); special(rng, at/'a/scores.csv')
    yield do
    if do=='museval': table = read_museval(at/'a/museval')
    elif do=='one': table = read_museval(at/'a/museval/test/D.json')
    else:
        table, frames = read_scores(at/'a' if do!='csv' else at/'a/scores.csv')
        hold({'track', 'target', 'usdr', 'csdr', 'improvement', 'note'}<=set(table.columns),
             f'{table.columns}')
        hold(all(table[k].dtype.kind=='f' for k in ('usdr', 'csdr', 'improvement')), f'{table.dtypes}')
        if do=='report': report(table); summary(table); paired(table, read_scores(at/'b')[0], 'vocals')
    if fair: hold(len(table)==2, 'lost rows')

# ---- folders and names ----

def odd_names(rng, word):
    "Names of files as bytes, of this word."
    w = word.encode()
    return rng.choice((w, w.upper(), w+b' ', b' '+w, b'.'+w, b'...'+w, w+b'\n', w+b'\t1', w+b'\xff\xfe',
                       b'\xc3', w+'é'.encode(), w+'e\u0301'.encode(), w+'\u202e'.encode(), w*40, b'-'+w,
                       b'~'+w, w+b'*', w+b'[1]', w+b'{target}', b'$'+w, w+b"'\"", '😀'.encode()+w, w+b'.stem',
                       b'a+'+w, b'%s'+w, w+b'\x1b[31m', b'..'+w, w+b'\\..'))

def odd_tree(rng, at, stems=('vocals', 'drums', 'bass'), loops=3):
    "A folder of songs with names and things in it that nobody likes."
    for n in range(rng.choice((1, 2, 3))):
        song = os.fsencode(at)+b'/'+rng.choice((b'A', b'D', odd_names(rng, 'song'), b'train', b'test',
                                                b'test/D'))
        try: os.makedirs(song, exist_ok=True)
        except OSError: continue
        for k in rng.sample(stems, rng.randint(1, len(stems))):
            suffix = rng.choice((b'.wav', b'.WAV', b'.flac', b'.mp3', b'.txt', b'.stem.mp4', b''))
            name = song+b'/'+(k.encode() if rng.random()<.6 else odd_names(rng, k))[:240]+suffix
            if os.path.lexists(name): continue
            what = rng.randrange(12)
            try:
                if what==0: special(rng, Path(os.fsdecode(name)))
                elif what==1: os.symlink(rng.choice((b'.', b'..', os.fsencode(S.data), b'/dev/zero', b'../A',
                                                     name)), name)
                elif what==2: os.mkdir(name)
                else:
                    blob = S.sounds[rng.choice(('wav16', 'mono', 'flac16', 'mp3', 'stem.mp4'))][1]
                    with open(name, 'wb') as f: f.write(blob if what<9 else hurt(rng, blob, (), range(60)))
            except OSError: pass
        if rng.random()<.2:
            for link in (b'x', b'y', b'z')[:loops]:
                with contextlib.suppress(OSError): os.symlink(rng.choice((b'.', b'..')), song+b'/'+link)

def text_of(at): return sorted(os.fsencode(p.relative_to(at)) for p in at.rglob('*'))[:12]

@reader(.05)
def estimates(rng, at, fair):
    "Folders of estimates of any tool."
    test = find_tracks(S.data, 'test')
    if fair: (at/'D').mkdir(); (at/'D/vocals.wav').write_bytes(S.sounds['wav16'][1])
    else: odd_tree(rng, at)
    targets = () if fair or rng.random()<.6 else rng.choice((['vocals'], 'vocals', [rng.choice(TEXTS)],
                                                             ['vocals', 'vocals']))
    yield f'{text_of(at)}, {targets}'
    holds_estimates(at)
    found = find_estimates(at, test, targets)
    hold(all(os.path.lexists(f) for some in found.values() for f in some.values()), 'no files')
    if fair: hold(list(found)==['D'] and list(found['D'])==['vocals'], f'{found}')
    if rng.random()<.3:
        for name, files in found.items():
            got = score_track(test[0], list(files), files, seconds=.2)
            hold(set(got['rows'])==set(files), f'{got}')

@reader(.05)
def dataset(rng, at, fair):
    "Folders of songs: names, links, things that are no files."
    if fair: shutil.copytree(S.data, at/'data')
    else: (at/'data').mkdir(); odd_tree(rng, at/'data')
    table = None if fair or rng.random()<.6 else rng.choice(({'other': ['bass']},
                                                             {rng.choice(TEXTS): ['bass']},
                                                             {'a': [rng.choice(TEXTS)]}, wild(rng),
                                                             {'a': wild(rng)}, {'a': [wild(rng)]}))
    do = rng.choice(('find', 'split', 'print', 'prepare'))
    yield f'{do}, {text_of(at)}, {str(table)[:100]}'
    if do=='print': hold(len(fingerprint(at/'data'))==16, 'no print')
    elif do=='split': hold(split_dataset(at/'data', 'vocals', table=table).test, 'nothing')
    elif do=='prepare':
        rows, folder = prepare_dataset(at/'data', table=table, workers=1, progress=False)
        hold(folder.is_dir() and len(rows), 'nothing')
    else:
        tracks = find_tracks(at/'data', 'train', table=table)
        hold(all(t.stems and t.frames for t in tracks), 'empty tracks')
        if fair: hold([t.name for t in tracks]==['A', 'B b', 'C'], f'{tracks}')

@reader(.06)
def jobs(rng, at, fair):
    "Songs by name and pattern, templates, formats; what is written stays in its folder."
    out, song = at.parent/'out', at/'song.wav'
    song.write_bytes(S.sounds['mono'][1])
    if not fair: odd_tree(rng, at, ('vocals', 'drums'), loops=0)      # Python's glob goes in circles for **
    given = song if fair else rng.choice((song, at, f'{at}/**/*', [song, at], f'{at}/*', rng.choice(TEXTS),
                                          [rng.choice(TEXTS), song], f'{at}/{rng.choice(TEXTS)}'))
    first = given[0] if isinstance(given, list) else given
    if first in ('/', '..', '.', '**/*', f'{at}/..', f'{at}//'): given = at
    names = ['vocals'] if fair or rng.random()<.6 else [rng.choice(TEXTS)]
    template = '{folder}/{song}/{target}'
    if not fair and rng.random()<.6:
        template = rng.choice(('{target}', '{song}{target}', f'../{MARK}{{target}}', f'/tmp/{MARK}{{target}}',
                               '{target}/../../x{song}', '{target!r}', '{target.__class__}', '{target:>9999}',
                               '{target}\0', '{song}/{target}'*50, '{target', '{}{target}',
                               rng.choice(TEXTS)+'{target}', '{folder}{target}', '~/{target}', './{target}',
                               '{target}/', '{target}/.', 'link/{target}', '{{target}}'))
        with contextlib.suppress(OSError): (out/'link').symlink_to(at.parent.parent/'near')
    form = 'wav' if fair or rng.random()<.8 else rng.choice(('flac', 'mp3', 'ogg', 'opus', rng.choice(TEXTS)))
    target = 'vocals' if names==['vocals'] else names[0]
    yield f'{str(given)[:200]!r}, {template[:200]!r}, {target[:100]!r}, {form!r}'
    songs = find_songs(given, out)
    plans = plan_jobs(songs, names, out, template, form)
    inside = lambda p: out.resolve() in Path(p).resolve().parents
    hold(all(inside(p) for j in plans for p in j.paths.values()), 'outside')
    model = copy.copy(S.model)
    model.config = BSRNNConfig(**{**S.model.config.to_dict(), 'targets': (target,)})
    done = separate_songs(Separator(model, segment=1.), plans[:2], progress=False)
    hold(all(r.state!='done' or all(Path(p).is_file() for p in r.paths) for r in done), 'done without a file')
    hold(all(r.state!='failed' or (r.reason and r.reason.isprintable()) for r in done),
         f'{[r.reason for r in done]}')
    if fair: hold(done[0].state=='done', done[0].reason)

BY_NAME = dict(info=info, read=read, read_sad=read_sad, manifest=Manifest.read, load_model=load_model,
               open_model=open_model, import_model=import_model, read_scores=read_scores,
               read_museval=read_museval, track=Track, read_live=read_live,
               find_tracks=lambda p: find_tracks(p, 'train'),
               find_estimates=lambda p: find_estimates(p, S.tracks), blocks=lambda p: list(blocks(p)),
               fingerprint=fingerprint, holds_estimates=holds_estimates,
               unpack=lambda p: unpack(p, 'a', 'out'), view=TrainingView,
               segments=lambda p: load_segments(p, ['vocals']),
               prepare=lambda p: prepare_dataset(p, progress=False), tags=tags, review=LabelReview,
               runs_of=runs_of, recipe_of=recipe_of, plot_training=plot_training, find_songs=find_songs,
               find_dataset=find_dataset, split=lambda p: split_dataset(p, 'vocals'),
               save=lambda p: save_model(S.model, f'out/{p}'),
               write=lambda p: write(f'out/{p}.wav', S.truth, 44100),
               write_sad=lambda p: write_sad(f'out/{p}', {'a': [(0, 1)]}))

@reader(.04)
def paths(rng, at, fair):
    "Whatever takes a path, with texts that are none: no such file, or a sentence."
    name = rng.choice(list(BY_NAME))
    path = rng.choice([t for t in TEXTS if t.rstrip('/') not in ('', '.', '..', '*', '**', '?')])
    if name in ('save', 'write', 'write_sad'): path = re.sub(r'^/|[.][.]/', '', path)
    path = 'none' if fair else rng.choice((path, f'{at}/{path}', f'{path}.json'))
    yield f'{name}({path!r:.300})'
    try: BY_NAME[name](path)
    except InputError:
        if not fair: raise                                  # a file that is not there is no good input

# ---- parameters and the command ----

def said(rng, rule, default):
    "A value as papermill (types) or the command (text) hands it over."
    good = [default, str(default)]
    if isinstance(rule, list): good += rule
    if isinstance(rule, tuple): good += list(rule)
    return rng.choice(good) if rng.random()<.3 else wild(rng)

PARSERS = {
    'options': lambda rng: (parse_options,
                            as_json(rng,
                                    hurt_tree(rng,
                                              dict(heads=2, stereo='tac', bands=[[1000, 100], [2000, 500]],
                                                   n_feats=32, targets=['a'], hop=256, rnn='gru',
                                                   eps=1e-5))).decode('utf-8', 'replace'), dict),
    'stems': lambda rng: (stem_table,
                          as_json(rng,
                                  hurt_tree(rng,
                                            {'other': ['piano', 'guitar'],
                                             'vocals': ['lead']})).decode('utf-8', 'replace'), dict),
    'grid': lambda rng: (expand_grid,
                         as_json(rng,
                                 hurt_tree(rng,
                                           [{'lr': [.001, .003], 'target': ['bass']},
                                            {'seed': [1]}])).decode('utf-8', 'replace'), list),
    'quantiles': lambda rng: (lambda t: parse_quantiles(t, 'truncate'),
                              rng.choice((str(wild(rng)), '0.7,0.5', '0.7,'+str(rng.choice(NUMBERS)))),
                              tuple),
    'targets': lambda rng: (split_targets,
                            rng.choice((wild(rng), 'vocals,drums+bass', 'all',
                                        rng.choice(TEXTS)+','+rng.choice(TEXTS))), tuple),
    'data': lambda rng: (find_dataset, rng.choice([t for t in TEXTS if t]), Path),
    'preset': lambda rng: (lambda v: preset_config(*v), (rng.choice(('smoke', wild(rng))), wild(rng)),
                           BSRNNConfig)}

@reader(.12)
def parameters(rng, at, fair):
    "Parameters of a training: checked, parsed, planned."
    if not fair and rng.random()<.4:
        name = rng.choice(list(PARSERS))
        parse, value, kind = PARSERS[name](rng)
        if isinstance(value, str) and rng.random()<.5: value = value.replace('@deep@',
                                                                             '['*5000).replace('@digits@',
                                                                                               '9'*5000)
        yield f'{name} = {value!r:.300}'
        got = parse(value)
        hold(isinstance(got, kind), f'{got!r:.200}')
        if name=='grid': hold(all(len(cell_name(c))<200 and Path(cell_name(c)).name==cell_name(c)
                                  for c in got), 'no name of a folder')
        if name=='options': preset_config('smoke', 'bass')
        return
    table = rules(TRAIN)
    changes = {}
    if not fair:
        for k in rng.sample(sorted(table), rng.choice((1, 1, 2, 4))): changes[k] = said(rng, table[k],
                                                                                        TRAIN[k][0])
        if rng.random()<.05: changes[str(wild(rng))] = wild(rng)
    values = {**defaults(TRAIN), 'preset': 'smoke', 'data': str(S.data), 'demo_share': 0., 'n_valid': 1,
              **changes}
    yield f'{changes!r:.300}'
    p = check_params(values, list(changes), **table)
    for k, rule in table.items():
        v = getattr(p, k)
        if isinstance(rule, tuple): hold(type(v) is type(rule[0]) and rule[0]<=v<=rule[1], f'{k} is {v!r}')
        elif rule is bool: hold(type(v) is bool, f'{k} is {v!r}')
        elif rule is str: hold(type(v) is str, f'{k} is {v!r}')
    if p.data!=str(S.data) or p.demo_share: return          # makes or fetches songs
    plan = plan_training(p)
    hold(plan.train and plan.config.targets==plan.targets, 'no plan')

@reader(.03)
def command(rng, at, fair):
    "The command, with words of all kinds."
    (at/'song.wav').write_bytes(S.sounds['mono'][1]); (at/'m.safetensors').write_bytes(S.weights['one'])
    words = rng.choice((['separate', f'{at}/song.wav', '--model', f'{at}/m.safetensors', '--out',
                         f'{at.parent}/out', '--segment', '1', '--dry-run', '--json'],
                        ['train', '--data', f'{at}/nothing', '--target', 'bass'], ['weights', '--json'],
                        ['convert', f'{at}/m.safetensors', f'{at.parent}/out/x.safetensors'],
                        ['completion', 'bash'],
                        ['separate', f'{at}/song.wav', '--model', f'{at}/m.safetensors', '--out',
                         f'{at.parent}/out', '--segment', '1']))
    if fair: words = ['separate', f'{at}/song.wav', '--model', f'{at}/m.safetensors', '--out',
                      f'{at.parent}/out', '--segment', '1']
    else:
        for _ in range(rng.choice((1, 1, 2))):
            k = rng.randrange(1, len(words)+1)
            new = rng.choice((rng.choice(TEXTS), str(rng.choice(NUMBERS)),
                              rng.choice(('--bits', '--part', '--weights', '--shifts', '--hop', '--template',
                                          '--ema', '--layout', '--target', '--format'))))
            if words[0]=='train' and k in (1, 2, 3): k = len(words)
            words[k:k+rng.choice((0, 1))] = [new]
    if words[0]=='separate' and f'--out {at.parent}/out' not in ' '.join(words):
        words.append('--dry-run')                            # or it would write where it is told to
    words = [w for w in words if w not in ('/', '..')]
    yield f'{words!r:.400}'
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: exit_code = command_main(words)
        except SystemExit as e: exit_code = e.code or 0
    last = err.getvalue().strip().splitlines()[-1:] or ['']
    hold(exit_code in (0, 1, 2) and (not fair or exit_code==0), f'exit code {exit_code}, {last}')
    if exit_code==1 and '--json' not in words:
        hold('bsrnn: ' in err.getvalue() or 'fail' in out.getvalue(), f'{last}')
    if exit_code==2: hold('usage:' in err.getvalue(), f'{last}')
    if exit_code==0 and {'--json', '-h'} & set(words)=={'--json'} and words[0] in ('separate', 'weights'):
        json.loads(out.getvalue())

# ---- what a browser sends ----

@reader(.05)
def browser(rng, at, fair):
    "Messages to the field that takes files and to the player."
    folder, came = at.parent/'out/songs', []
    name, blob = rng.choice(TEXTS)+rng.choice(('.wav', '.mp3', '', '/x.wav')), S.sounds['mono'][1]
    if fair: name = 'song.wav'
    talk = [({'begin': name, 'size': len(blob)}, []), ({'at': 0}, [blob[:5000]]),
            ({'at': 5000}, [blob[5000:]])]
    if not fair:
        for _ in range(rng.choice((0, 1, 2))):
            i = rng.randrange(len(talk)+1)
            message = rng.choice(({'begin': wild(rng), 'size': wild(rng)}, {'at': wild(rng)},
                                  {'give': wild(rng), 'of': wild(rng)}, {'lost': 1}, wild(rng),
                                  {'begin': 'a.wav', 'size': 2**40}, {'key': wild(rng)},
                                  {'piece': wild(rng), 'of': wild(rng)}))
            talk.insert(i, (message, rng.choice(([], [b''], [b'x'*10], [blob]))))
    yield f'{name[:100]!r}, {[m for m, _ in talk]!r:.300}'
    hold(Path(safe_name(name)).name==safe_name(name) and len(os.fsencode(safe_name(name)))<=255,
         'no name of a file')
    drop = FileDrop(folder, came.append)
    player = StemPlayer({'a': S.truth}, 44100) if rng.random()<.3 else None
    for message, buffers in talk:
        drop._asked(drop, message, buffers)
        if player: player._asked(player, message, buffers)
        hold(drop.said.isprintable(), f'{drop.said!r:.200}')
    for path in came: hold(path.parent==folder and path.is_file(), f'{path}')
    if fair: hold(len(came)==1 and came[0].read_bytes()==blob, 'it has not arrived')
