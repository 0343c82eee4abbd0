// Painting: strokes by mouse, finger and keyboard.

function forget() { strokes = []; undone = []; stroke = null; draw(); }

function setUnpainting(on) { unpainting = on; show(); }

function undo() { if (strokes.length) { undone.push(strokes.pop()); draw(); show(); } }

function redo() { if (undone.length) { strokes.push(undone.pop()); draw(); show(); } }

function clear() { if (marks().length) { strokes.push({ wipes: true }); undone = []; draw(); show(); } }

// the strokes that still stand
const marks = () => strokes.slice(strokes.map((one) => Boolean(one.wipes)).lastIndexOf(true) + 1);

function draw() {
  const pencil = mask.getContext('2d');
  pencil.clearRect(0, 0, mask.width, mask.height);
  for (const one of marks()) drawStroke(pencil, one, 0);
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
  mask.focus({ preventScroll: true, focusVisible: false });
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
  if (event.key === 'Escape' && comparing) { setComparing(false); compare.focus({ preventScroll: true }); return; }
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

function painted() {
  // the part that holds paint, as a picture whose alpha is the paint
  const { width, height } = mask;
  if (!marks().length || !width) return null;
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const one of marks()) {
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
