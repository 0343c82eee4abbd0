// What there is to see, and what the page knows.

const PAINT = '#ff0a6c';
const SHAPES = ['1:1', '4:5', '3:2', '16:9', '9:16', 'A4'];
// Python finds these names here, quoted, and lets the page listen to them:
// 'open_photo' 'take_example' 'go_to_step' 'take_variation' 'fetch_step' 'run_erase' 'run_extend'
const MOST_PERCENT = 400;         // of a side, at once
const SIDES = ['left', 'top', 'right', 'bottom'];

let view = { photo: null, steps: [], variations: [], busy: null };
let mode = 'erase';
let waiting = false;             // something was asked of the server and is not done
let strokes = [];                // {unpaint, size, points} in pixels of the copy, or {wipes} all before it
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
    make('p', { class: 'big mouse' }, 'Drop a photo here'),
    make('p', { class: 'mouse' }, 'or paste one, or'),
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
const brushes = make('div', { class: 'group brushes erasing', role: 'group', 'aria-label': 'Brush' },
  brush, rubber, make('label', { class: 'sized' }, 'Size', size), undoButton, redoButton, clearButton);

const numbers = {};
const shapes = make('div', { class: 'group shapes', role: 'group', 'aria-label': 'Shape' },
  ...SHAPES.map((shape) => button(shape, `Extend to the shape ${shape}`, () => setAspect(shape),
    { 'data-shape': shape, label: `Shape ${shape}` })));
const amounts = make('div', { class: 'group amounts', role: 'group', 'aria-label': 'Percent to add' },
  ...SIDES.map((side) => {
    numbers[side] = make('input', { type: 'number', min: 0, max: MOST_PERCENT, step: 5, value: 0, inputmode: 'numeric',
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
const handles = SIDES.map((side) => make('div', { class: `handle ${side}`, role: 'slider', tabindex: '0',
  title: 'Drag outwards, or use the arrow keys', 'aria-label': `Percent to add, ${side}`, 'aria-valuemin': 0,
  'aria-valuemax': MOST_PERCENT, 'aria-orientation': side === 'left' || side === 'right' ? 'horizontal' : 'vertical',
  onpointerdown: (event) => startDrag(event, side), onkeydown: (event) => pushHandle(event, side) }));
const newSize = make('span', { class: 'newsize' });
const frame = make('div', { class: 'frame' }, ...handles, newSize);
const detail = make('img', { class: 'detail', alt: '', draggable: 'false', hidden: true });
const paper = make('div', { class: 'paper' }, photo, detail, before, mask, preview, frame, divider, slider, ring);
const stage = make('div', { class: 'view' }, paper);

const bar = make('progress', { max: 1, value: 0, 'aria-label': 'How far it is' });
const busyText = make('span', { class: 'busytext' });
const stopButton = button('Stop', 'Stop (Esc)', stop, { class: 'stop' });
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

// one place for both: nothing moves under the mouse when the work begins
const foot = make('div', { class: 'foot' }, busy, actions);
const work = make('section', { class: 'work' }, tools, stage, foot);
root.append(file, welcome, work, status, make('section', { class: 'after' }, variations, history, facts));
