// The bench: the picture, the brush, the frame, what is being painted, and the steps so far.
// Gradio runs this once per page with element, trigger, props, upload and watch. It paints on a copy of the photo that
// fits the screen; the server has the file itself and is sent strokes only.

const root = element.querySelector('.bench');
const base = (window.gradio_config && window.gradio_config.root) || window.location.origin;
const full = (address) => (address.startsWith('data:') ? address : base + address);

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// -- what there is to see ---------------------------------------------------------------------------------------------

const PAINT = '#ff0a6c';
const SHAPES = ['1:1', '4:5', '3:2', '16:9', '9:16', 'A4'];
// Python finds these names here, quoted, and lets the page listen to them:
// 'open_photo' 'take_example' 'go_to_step' 'take_variation' 'fetch_step' 'run_erase' 'run_extend' 'stop_work'
const SIDES = ['left', 'top', 'right', 'bottom'];

let view = { photo: null, steps: [], variations: [], busy: null };
let mode = 'erase';
let waiting = false;             // something was asked of the server and is not done
let strokes = [];                // {unpaint, size, points} in pixels of the copy
let undone = [];
let stroke = null;               // the one being painted
let unpainting = false;
let zoom = 1;
let sides = { left: 0, top: 0, right: 0, bottom: 0 };  // percent
let aspect = null;
let dragged = null;              // {side, scale, x, y} while a handle is held
let pen = null;                  // {x, y, down} while painting by keyboard
let comparing = false;
let shown = null;                // address of the picture that the strokes belong to

const button = (text, title, click, more = {}) =>
  make('button', { type: 'button', title, 'aria-label': more.label || (text.length > 1 ? null : title), onclick: click, ...more }, text);

const file = make('input', { type: 'file', accept: 'image/*,.tif,.tiff,.jp2,.avif,.tga', class: 'away', tabindex: '-1',
  'aria-hidden': 'true', onchange: () => { if (file.files[0]) open(file.files[0]); file.value = ''; } });

const examples = make('div', { class: 'examples' });
(props.examples || []).forEach((example, i) => examples.append(make('button',
  { type: 'button', class: 'example', onclick: () => ask('take_example', { number: i }) },
  make('img', { src: props.thumbs[i], alt: '' }), make('span', {}, `Try: ${example.title}`),
  make('small', {}, example.credit))));

const welcome = make('section', { class: 'welcome', 'aria-label': 'Choose a photo' },
  make('div', { class: 'invite' },
    make('p', { class: 'big' }, 'Drop a photo here'),
    make('p', {}, 'or paste one, or'),
    button('Choose a photo', 'Choose a photo', () => file.click(), { class: 'primary choose' })),
  examples);

const tab = (name, text) => make('button', { type: 'button', role: 'tab', class: `mode ${name}`,
  onclick: () => setMode(name) }, text);
const modes = make('div', { class: 'modes', role: 'tablist', 'aria-label': 'What to do' },
  tab('erase', 'Erase'), tab('extend', 'Extend'));

const size = make('input', { type: 'range', min: 4, max: 200, value: 36, 'aria-label': 'Brush size', class: 'size',
  title: 'Brush size, also [ and ]', oninput: () => showRing(null, true) });
const brush = button('Paint', 'Paint what is to vanish (B)', () => setUnpainting(false), { class: 'brush' });
const rubber = button('Unpaint', 'Take paint away again (E)', () => setUnpainting(true), { class: 'rubber' });
const undoButton = button('↶', 'Undo a stroke (Ctrl+Z)', undo, { class: 'undo' });
const redoButton = button('↷', 'Redo a stroke (Ctrl+Shift+Z)', redo, { class: 'redo' });
const clearButton = button('Clear', 'Take all paint away', clear, { class: 'clear' });
const brushes = make('div', { class: 'group erasing', role: 'group', 'aria-label': 'Brush' },
  brush, rubber, make('label', { class: 'sized' }, 'Size', size), undoButton, redoButton, clearButton);

const numbers = {};
const shapes = make('div', { class: 'group shapes', role: 'group', 'aria-label': 'Shape' },
  ...SHAPES.map((shape) => button(shape, `Extend to the shape ${shape}`, () => setAspect(shape),
    { 'data-shape': shape, label: `Shape ${shape}` })));
const amounts = make('div', { class: 'group amounts', role: 'group', 'aria-label': 'Percent to add' },
  ...SIDES.map((side) => {
    numbers[side] = make('input', { type: 'number', min: 0, max: 400, step: 5, value: 0, inputmode: 'numeric',
      'aria-label': `Percent to add, ${side}`, oninput: () => setSide(side, Number(numbers[side].value)) });
    return make('label', {}, side[0].toUpperCase() + side.slice(1), numbers[side], '%');
  }));
const framing = make('div', { class: 'extending framing' }, amounts, shapes);

const zoomText = make('span', { class: 'zoomed' }, '100 %');
const zooms = make('div', { class: 'group zooms', role: 'group', 'aria-label': 'Zoom' },
  button('−', 'Zoom out (-)', () => setZoom(zoom / 1.5)), zoomText, button('+', 'Zoom in (+)', () => setZoom(zoom * 1.5)),
  button('Fit', 'Whole picture (0)', () => setZoom(1)));
const other = button('New photo', 'Choose another photo', () => file.click(), { class: 'other' });
const tools = make('div', { class: 'tools' }, modes, brushes, framing, zooms, other);

const photo = make('img', { class: 'photo', alt: 'Your photo', draggable: 'false' });
const mask = make('canvas', { class: 'mask', tabindex: '0', role: 'application',
  'aria-label': 'Your photo. Paint with the mouse or a finger; or with the arrow keys: space puts the brush down and up, '
    + 'Enter erases.' });
const before = make('img', { class: 'before', alt: '', draggable: 'false' });
const divider = make('div', { class: 'divider' });
const slider = make('input', { type: 'range', min: 0, max: 100, step: 0.5, value: 50, class: 'slider',
  'aria-label': 'Before and after', oninput: showDivider });
const ring = make('div', { class: 'ring' });
const preview = make('img', { class: 'preview', alt: '' });
const frame = make('div', { class: 'frame' }, ...SIDES.map((side) => make('div', { class: `handle ${side}`,
  title: 'Drag outwards', onpointerdown: (event) => startDrag(event, side) })), make('span', { class: 'newsize' }));
const paper = make('div', { class: 'paper' }, photo, before, mask, frame, preview, divider, slider, ring);
const stage = make('div', { class: 'view' }, paper);

const bar = make('progress', { max: 1, value: 0, 'aria-label': 'How far it is' });
const busyText = make('span', { class: 'busytext' });
const stopButton = button('Stop', 'Stop (Esc)', () => { stopButton.disabled = true; trigger('stop_work', {}); },
  { class: 'stop' });
const busy = make('div', { class: 'busy' }, bar, busyText, stopButton);

const go = button('Erase', 'Erase what is painted (Enter)', run, { class: 'primary go', label: 'Erase' });
const more = button('4 variations', 'The same with four other seeds, to choose from', () => run(null, true), { class: 'more' });
const compare = button('Before / after', 'Compare with the step before', () => setComparing(!comparing), { class: 'compare' });
const save = button('Download', 'Download this picture, in the format of your file', () =>
  ask('fetch_step', { number: view.current }), { class: 'save' });
const atOnce = make('input', { type: 'checkbox' });
const actions = make('div', { class: 'actions' }, go, more, compare, save,
  make('label', { class: 'atonce erasing' }, atOnce, 'Erase as soon as I lift the brush'));
const status = make('p', { class: 'status', role: 'status', 'aria-live': 'polite' });
const facts = make('p', { class: 'facts' });

const choices = make('div', { class: 'choices', role: 'group', 'aria-label': 'Variations' });
const variations = make('section', { class: 'variations' }, make('h3', {}, 'Which one?'), choices);
const history = make('ol', { class: 'steps', 'aria-label': 'Steps, newest last' });

const work = make('section', { class: 'work' }, tools, stage, busy, actions);
root.append(file, welcome, work, status, make('section', { class: 'after' }, variations, history, facts));

// -- talking to the server --------------------------------------------------------------------------------------------

let heard = 0;
let asked = 0;

function ask(what, said = {}) {
  waiting = true;
  heard = Date.now();
  asked += 1;
  if (what === 'run_erase' || what === 'run_extend') view.busy = { text: 'Starting', fraction: 0 };
  say('');
  trigger(what, said);
  show();
}

// a server that was stopped, or a connection that is gone, says nothing: so the page asks
setInterval(async () => {
  if (!waiting || Date.now() - heard < 4000) return;
  const now = asked;
  try {
    const answer = await fetch(`${base}/gradio_api/info`, { method: 'HEAD', cache: 'no-store' });
    if (answer.status < 500) heard = Date.now();
  } catch {
    if (!waiting || now !== asked) return;
    waiting = false;
    view.busy = null;
    say('The server does not answer. When it runs again, reload this page.', true);
    show();
  }
}, 1500);

watch('value', () => {
  const told = props.value;
  if (!told || told.serial === view.serial) return;
  heard = Date.now();
  const old = view;
  view = JSON.parse(JSON.stringify(told));
  waiting = Boolean(view.busy);
  if (view.opened) { zoom = 1; setComparing(false); sides = { left: 0, top: 0, right: 0, bottom: 0 }; aspect = null; showNumbers(); }
  if (view.painted || view.opened || (old.current !== view.current && !view.busy)) forget();
  if (view.painted && mode === 'extend') setMode('erase');
  if (view.error) say(view.error, true);
  else if (view.text) say(view.text);
  else if (view.busy) say('');
  if (view.download) fetchFile(view.download);
  show();
});

async function open(chosen) {
  const limit = props.limits.megabytes;
  if (chosen.size > limit * 1e6) {
    say(`${chosen.name} has ${Math.round(chosen.size / 1e6)} MB, and this page takes up to ${limit}.`, true);
    return;
  }
  if (chosen.size === 0) { say(`${chosen.name} is empty.`, true); return; }
  waiting = true;
  asked += 1;
  say('Sending the photo…');
  show();
  try {
    const { path } = await upload(chosen);
    ask('open_photo', { path, name: chosen.name });
    say('Opening the photo…');
  } catch {
    waiting = false;
    say('The photo could not be sent. Is the server running, and the file not too large?', true);
    show();
  }
}

function fetchFile(what) {
  const link = make('a', { href: full(what.url), download: what.name });
  document.body.append(link);
  link.click();
  link.remove();
}

function run(event, again = false) {
  if (waiting || !view.photo) return;
  if (mode === 'extend') {
    const shape = aspect === 'A4' ? (view.photo.width > view.photo.height ? '297:210' : '210:297') : aspect;
    ask('run_extend', { variations: again, aspect: shape, sides: aspect ? null : pixels() });
  } else {
    ask('run_erase', { variations: again, mask: painted() });
  }
}

function painted() {
  // the part that holds paint, as a picture whose alpha is the paint
  const { width, height } = mask;
  if (!strokes.length || !width) return null;
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const one of strokes) {
    if (one.unpaint) continue;
    for (const [x, y] of one.points) {
      left = Math.min(left, x - one.size); right = Math.max(right, x + one.size);
      top = Math.min(top, y - one.size); bottom = Math.max(bottom, y + one.size);
    }
  }
  left = Math.max(0, Math.floor(left)); top = Math.max(0, Math.floor(top));
  right = Math.min(width, Math.ceil(right)); bottom = Math.min(height, Math.ceil(bottom));
  if (right <= left || bottom <= top) return null;
  const part = make('canvas', { width: right - left, height: bottom - top });
  part.getContext('2d').drawImage(mask, left, top, right - left, bottom - top, 0, 0, right - left, bottom - top);
  return { x: left, y: top, png: part.toDataURL('image/png') };
}

// -- showing ----------------------------------------------------------------------------------------------------------

function say(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle('wrong', wrong);
}

function show() {
  const there = Boolean(view.photo);
  const working = Boolean(view.busy);
  root.dataset.mode = mode;
  root.classList.toggle('empty', !there);
  root.classList.toggle('working', working);
  root.classList.toggle('waiting', waiting);
  root.classList.toggle('comparing', comparing);
  for (const each of modes.children) each.setAttribute('aria-selected', String(each.classList.contains(mode)));
  brush.setAttribute('aria-pressed', String(!unpainting));
  rubber.setAttribute('aria-pressed', String(unpainting));
  compare.setAttribute('aria-pressed', String(comparing));
  go.textContent = mode === 'erase' ? 'Erase' : 'Extend';
  go.setAttribute('aria-label', go.textContent);
  go.title = mode === 'erase' ? 'Erase what is painted (Enter)' : 'Paint what is inside the frame';
  for (const each of [go, more, save]) each.disabled = waiting || !there;
  compare.disabled = working || !there || !view.photo.before;
  undoButton.disabled = !strokes.length;
  redoButton.disabled = !undone.length;
  clearButton.disabled = !strokes.length;
  busy.hidden = !working;
  if (working) {
    bar.value = view.busy.fraction || 0;
    busyText.textContent = view.busy.text;
    const seen = view.busy.preview;
    if (seen) {
      preview.src = seen.url;
      Object.assign(preview.dataset, { x: seen.x, y: seen.y, width: seen.width, height: seen.height });
      preview.hidden = false;
    }
  } else {
    preview.hidden = true;
    preview.removeAttribute('src');
    stopButton.disabled = false;
  }
  if (there) {
    const address = full(view.photo.url);
    if (shown !== address) {
      shown = address;
      photo.src = address;
      if (mask.width !== view.photo.copyWidth || mask.height !== view.photo.copyHeight) {
        mask.width = view.photo.copyWidth;
        mask.height = view.photo.copyHeight;
        forget();
      }
    }
    if (view.photo.before) { if (before.src !== full(view.photo.before)) before.src = full(view.photo.before); }
    else { before.removeAttribute('src'); if (comparing) setComparing(false); }
    const now = `${view.photo.width} × ${view.photo.height}`;
    facts.textContent = `${view.photo.name} · ${view.photo.facts}`
      + (view.photo.facts.endsWith(now) ? '' : ` · now ${now}`);
  }
  showSteps();
  layout();
}

function showSteps() {
  const key = JSON.stringify([view.steps, view.variations, view.current]);
  if (history.dataset.key === key) return;
  history.dataset.key = key;
  history.replaceChildren(...view.steps.map((step, i) => make('li', {},
    make('button', { type: 'button', 'aria-current': step.number === view.current ? 'step' : false, title: step.label,
      'aria-label': `Go to step ${i}: ${step.label}`, onclick: () => { if (!waiting) ask('go_to_step', { number: step.number }); } },
      make('img', { src: full(step.thumb), alt: '' }), make('span', {}, i ? `${i}. ${step.title}` : step.title)),
    make('button', { type: 'button', class: 'get', title: 'Download this step', 'aria-label': `Download step ${i}`,
      onclick: () => { if (!waiting) ask('fetch_step', { number: step.number }); } }, '↓'))));
  history.hidden = view.steps.length < 2;
  variations.hidden = !view.variations.length;
  choices.replaceChildren(...view.variations.map((step, i) => make('button', { type: 'button', title: step.label,
    'aria-label': `Take variation ${i + 1}`, 'aria-current': step.number === view.current ? 'true' : false,
    onclick: () => { if (!waiting) ask('take_variation', { number: step.number }); } },
    make('img', { src: full(step.url), alt: step.label }))));
  history.scrollLeft = history.scrollWidth;
}

const pixels = () => ({
  left: Math.round(sides.left * view.photo.width / 100), right: Math.round(sides.right * view.photo.width / 100),
  top: Math.round(sides.top * view.photo.height / 100), bottom: Math.round(sides.bottom * view.photo.height / 100),
});

function layout() {
  // places the photo, and in Extend the frame round it
  if (!view.photo) return;
  const { width, height } = view.photo;
  const extending = mode === 'extend';
  const add = extending ? pixels() : { left: 0, top: 0, right: 0, bottom: 0 };
  const whole = { width: width + add.left + add.right, height: height + add.top + add.bottom };
  const room = stage.clientWidth;
  const most = Math.max(240, Math.min(window.innerHeight * 0.62, 900));
  const tall = extending ? Math.min(most, room) : most;
  const margin = extending ? 0.86 : 1;
  let fit = Math.min(room * margin / whole.width, tall * margin / whole.height, extending ? Infinity : 3);
  let scale = fit * (extending ? 1 : zoom);
  const wanted = extending ? tall : Math.min(tall, whole.height * fit);
  let x, y;
  if (dragged) {
    ({ scale, x, y } = dragged);
  } else {
    stage.style.height = `${Math.round(wanted)}px`;
    x = Math.max(0, (room - whole.width * scale) / 2) + add.left * scale;
    y = Math.max(0, (wanted - whole.height * scale) / 2) + add.top * scale;
  }
  const place = (what, left, top, wide, high) => Object.assign(what.style,
    { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${high}px` });
  for (const each of [photo, mask, before, slider]) place(each, x, y, width * scale, height * scale);
  place(frame, x - add.left * scale, y - add.top * scale, whole.width * scale, whole.height * scale);
  frame.querySelector('.newsize').textContent = `${whole.width} × ${whole.height}`;
  paper.style.width = `${extending ? room : Math.max(room, whole.width * scale)}px`;
  paper.style.height = `${extending ? wanted : Math.max(wanted, whole.height * scale)}px`;
  stage.classList.toggle('zoomed', !extending && zoom > 1);
  const share = preview.dataset;
  if (!preview.hidden && share.width) {
    place(preview, x - add.left * scale + share.x * whole.width * scale, y - add.top * scale + share.y * whole.height * scale,
      share.width * whole.width * scale, share.height * whole.height * scale);
  }
  root.dataset.scale = scale;
  zoomText.textContent = `${Math.round((extending ? 1 : zoom) * 100)} %`;
  showDivider();
}

function showDivider() {
  const share = Number(slider.value);
  before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  const left = parseFloat(photo.style.left) || 0;
  Object.assign(divider.style, { left: `${left + (parseFloat(photo.style.width) || 0) * share / 100}px`,
    top: photo.style.top, height: photo.style.height });
}

function setMode(name) {
  mode = name;
  if (name === 'extend') {
    setComparing(false);
    if (!SIDES.some((side) => sides[side])) { sides = { left: 20, top: 0, right: 20, bottom: 0 }; aspect = null; showNumbers(); }
  }
  show();
}

function setComparing(on) {
  comparing = on && Boolean(view.photo && view.photo.before);
  root.classList.toggle('comparing', comparing);
  compare.setAttribute('aria-pressed', String(comparing));
  if (comparing) { slider.value = 50; showDivider(); slider.focus(); }
}

function setZoom(to, about) {
  if (!view.photo || mode === 'extend') return;
  const old = zoom;
  zoom = Math.min(16, Math.max(1, Math.abs(to - 1) < 0.05 ? 1 : to));
  const box = stage.getBoundingClientRect();
  const at = about ? { x: about.x - box.left, y: about.y - box.top } : { x: box.width / 2, y: box.height / 2 };
  const left = parseFloat(photo.style.left), top = parseFloat(photo.style.top);
  const inside = { x: (stage.scrollLeft + at.x - left) / old, y: (stage.scrollTop + at.y - top) / old };
  layout();
  stage.scrollLeft = inside.x * zoom + parseFloat(photo.style.left) - at.x;
  stage.scrollTop = inside.y * zoom + parseFloat(photo.style.top) - at.y;
}

// -- painting ---------------------------------------------------------------------------------------------------------

function forget() { strokes = []; undone = []; stroke = null; draw(); }

function setUnpainting(on) { unpainting = on; show(); }

function undo() { if (strokes.length) { undone.push(strokes.pop()); draw(); show(); } }

function redo() { if (undone.length) { strokes.push(undone.pop()); draw(); show(); } }

function clear() { undone = []; while (strokes.length) undone.push(strokes.pop()); draw(); show(); }

function draw() {
  const pencil = mask.getContext('2d');
  pencil.clearRect(0, 0, mask.width, mask.height);
  for (const one of strokes) drawStroke(pencil, one, 0);
}

function drawStroke(pencil, one, from) {
  pencil.globalCompositeOperation = one.unpaint ? 'destination-out' : 'source-over';
  pencil.strokeStyle = pencil.fillStyle = PAINT;
  pencil.lineWidth = one.size;
  pencil.lineCap = pencil.lineJoin = 'round';
  const first = Math.max(0, from - 1);
  pencil.beginPath();
  pencil.arc(...one.points[first], one.size / 2, 0, 2 * Math.PI);  // lines of no length are not drawn
  pencil.fill();
  pencil.beginPath();
  pencil.moveTo(...one.points[first]);
  for (const point of one.points.slice(first + 1)) pencil.lineTo(...point);
  pencil.stroke();
}

function onCopy(event) {
  const box = mask.getBoundingClientRect();
  return [(event.clientX - box.left) * mask.width / box.width, (event.clientY - box.top) * mask.height / box.height];
}

// the brush keeps its size on the screen, so zooming in paints finer
const brushSize = () => Number(size.value) * mask.width / mask.getBoundingClientRect().width;

function begin(point, unpaint) {
  stroke = { unpaint, size: brushSize(), points: [point] };
  strokes.push(stroke);
  undone = [];
  drawStroke(mask.getContext('2d'), stroke, 0);
}

function extend(points) {
  const from = stroke.points.length;
  stroke.points.push(...points);
  drawStroke(mask.getContext('2d'), stroke, from);
}

function end() {
  const was = stroke;
  stroke = null;
  draw();  // in one go: the soft rims of pieces add up where they meet
  show();
  if (was && !was.unpaint && atOnce.checked) run();
}

const fingers = new Map();
let pinch = null;

mask.addEventListener('pointerdown', (event) => {
  fingers.set(event.pointerId, event);
  if (fingers.size === 2) {
    if (stroke) { strokes.pop(); stroke = null; draw(); }  // the first finger was not meant to paint
    pinch = { apart: spread(), zoom, centre: middle() };
    return;
  }
  if (waiting || comparing || mode !== 'erase' || event.button > 0 && event.button !== 2) return;
  event.preventDefault();
  mask.focus({ preventScroll: true });
  mask.setPointerCapture(event.pointerId);
  begin(onCopy(event), unpainting || event.button === 2);
});

mask.addEventListener('pointermove', (event) => {
  showRing(event);
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
  if (pinch && fingers.size === 2) {
    const centre = middle();
    setZoom(pinch.zoom * spread() / pinch.apart, centre);
    stage.scrollLeft -= centre.x - pinch.centre.x;
    stage.scrollTop -= centre.y - pinch.centre.y;
    pinch.centre = centre;
    return;
  }
  if (!stroke) return;
  const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  extend((all.length ? all : [event]).map(onCopy));
});

for (const name of ['pointerup', 'pointercancel']) {
  mask.addEventListener(name, (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) pinch = null;
    if (stroke) end();
  });
}
mask.addEventListener('contextmenu', (event) => event.preventDefault());
mask.addEventListener('pointerleave', () => { if (!pen) ring.hidden = true; });
ring.hidden = true;

const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1; };
const middle = () => { const [a, b] = [...fingers.values()]; return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2 }; };

function showRing(event, centre = false) {
  if (!view.photo || mode !== 'erase' || comparing || event && event.pointerType === 'touch') { ring.hidden = true; return; }
  const box = paper.getBoundingClientRect();
  const shownAt = mask.getBoundingClientRect();
  let x, y;
  if (event) [x, y] = [event.clientX - box.left, event.clientY - box.top];
  else if (pen && !centre) {
    x = shownAt.left - box.left + pen.x * shownAt.width / mask.width;
    y = shownAt.top - box.top + pen.y * shownAt.height / mask.height;
  } else [x, y] = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
  ring.hidden = false;
  const wide = Number(size.value);
  Object.assign(ring.style, { left: `${x - wide / 2}px`, top: `${y - wide / 2}px`, width: `${wide}px`, height: `${wide}px` });
  ring.classList.toggle('down', Boolean(pen && pen.down));
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

mask.addEventListener('keydown', (event) => {
  if (mode !== 'erase' || waiting || event.ctrlKey || event.metaKey || event.altKey) return;
  if (ARROWS[event.key]) {
    pen = pen || { x: mask.width / 2, y: mask.height / 2, down: false };
    const far = brushSize() * (event.shiftKey ? 1.5 : 0.25);
    pen.x = Math.min(mask.width, Math.max(0, pen.x + ARROWS[event.key][0] * far));
    pen.y = Math.min(mask.height, Math.max(0, pen.y + ARROWS[event.key][1] * far));
    if (pen.down && stroke) extend([[pen.x, pen.y]]);
  } else if (event.key === ' ') {
    pen = pen || { x: mask.width / 2, y: mask.height / 2, down: false };
    pen.down = !pen.down;
    if (pen.down) begin([pen.x, pen.y], unpainting);
    else end();
  } else if (event.key === 'Enter') {
    if (stroke) { pen.down = false; end(); }
    run();
  } else return;
  event.preventDefault();
  event.stopPropagation();
  showRing(null);
});
mask.addEventListener('blur', () => { if (pen && pen.down) { pen.down = false; if (stroke) end(); } pen = null; ring.hidden = true; });

document.addEventListener('keydown', (event) => {
  const typing = event.target.closest && event.target.closest('textarea, input:not([type=range]):not([type=checkbox]), [contenteditable]');
  if (event.key === 'Escape' && view.busy) { stopButton.click(); return; }
  if (typing || !view.photo) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === 'z') { if (event.shiftKey) redo(); else undo(); event.preventDefault(); return; }
  if ((event.ctrlKey || event.metaKey) && key === 'y') { redo(); event.preventDefault(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === '[' || key === ']') { size.value = Number(size.value) * (key === ']' ? 1.25 : 0.8); showRing(null); }
  else if (key === 'b') setUnpainting(false);
  else if (key === 'e') setUnpainting(true);
  else if (key === '+' || key === '=') setZoom(zoom * 1.5);
  else if (key === '-') setZoom(zoom / 1.5);
  else if (key === '0') setZoom(1);
});

stage.addEventListener('wheel', (event) => {
  if (!event.ctrlKey || mode !== 'erase') return;
  event.preventDefault();
  setZoom(zoom * Math.exp(-event.deltaY / 300), { x: event.clientX, y: event.clientY });
}, { passive: false });

// -- the frame --------------------------------------------------------------------------------------------------------

function showNumbers() {
  for (const side of SIDES) if (document.activeElement !== numbers[side]) numbers[side].value = Math.round(sides[side]);
  for (const each of shapes.children) each.setAttribute('aria-pressed', String(each.dataset.shape === aspect));
}

function setSide(side, percent) {
  sides[side] = Math.min(400, Math.max(0, percent || 0));
  aspect = null;
  showNumbers();
  layout();
}

function setAspect(shape) {
  const { width, height } = view.photo;
  aspect = shape;
  const [across, down] = shape === 'A4' ? (width > height ? [297, 210] : [210, 297]) : shape.split(':').map(Number);
  const wide = Math.max(width, Math.round(height * across / down)), high = Math.max(height, Math.round(width * down / across));
  const h = 50 * (wide - width) / width, v = 50 * (high - height) / height;
  sides = { left: h, right: h, top: v, bottom: v };
  showNumbers();
  layout();
}

function startDrag(event, side) {
  if (waiting) return;
  event.preventDefault();
  const handle = event.currentTarget;
  handle.setPointerCapture(event.pointerId);
  const scale = Number(root.dataset.scale);
  dragged = { scale, x: parseFloat(photo.style.left), y: parseFloat(photo.style.top) };
  const across = side === 'left' || side === 'right';
  const sign = side === 'left' || side === 'top' ? -1 : 1;
  const start = across ? event.clientX : event.clientY;
  const was = sides[side];
  const move = (moved) => {
    const far = sign * ((across ? moved.clientX : moved.clientY) - start) / scale;
    setSide(side, Math.round(was + 100 * far / (across ? view.photo.width : view.photo.height)));
  };
  const drop = () => {
    handle.removeEventListener('pointermove', move);
    dragged = null;
    layout();
  };
  handle.addEventListener('pointermove', move);
  handle.addEventListener('pointerup', drop, { once: true });
  handle.addEventListener('pointercancel', drop, { once: true });
}

// -- photos come in ---------------------------------------------------------------------------------------------------

for (const name of ['dragover', 'dragenter']) {
  document.addEventListener(name, (event) => { event.preventDefault(); root.classList.add('over'); });
}
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) root.classList.remove('over'); });
document.addEventListener('drop', (event) => {
  event.preventDefault();
  root.classList.remove('over');
  const dropped = [...(event.dataTransfer ? event.dataTransfer.files : [])];
  if (dropped.length) open(dropped[0]);
  else say('That was no file. Save the picture first, then drop the file here.', true);
});
document.addEventListener('paste', (event) => {
  const pasted = [...(event.clipboardData ? event.clipboardData.files : [])].find((each) => each.type.startsWith('image/'));
  if (pasted) { event.preventDefault(); open(pasted); }
});

new ResizeObserver(() => layout()).observe(root);
window.addEventListener('resize', () => layout());
showNumbers();
show();
root.classList.add('ready');
