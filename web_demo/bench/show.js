// Showing what the server told: the picture, the steps, the work, in the room that there is.

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
  go.title = mode === 'erase' ? 'Erase what is painted (Enter)' : 'Paint what is inside the frame (Enter)';
  for (const each of [go, more, save]) each.disabled = waiting || !there;
  compare.disabled = working || !there || !view.photo.before;
  undoButton.disabled = !strokes.length;
  redoButton.disabled = !undone.length;
  clearButton.disabled = !marks().length;
  busy.hidden = !working;
  if (!working && cameFrom) {
    if (document.activeElement === document.body) cameFrom.focus({ preventScroll: true });
    cameFrom = null;
  }
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
    crop(step))));
  history.scrollLeft = history.scrollWidth;
}

function crop(step) {
  // the part of a variation in which it differs from the others
  const { x, y, width, height } = step.part;
  const image = make('img', { src: full(step.url), alt: step.label });
  Object.assign(image.style, { width: `${100 / width}%`, left: `${-100 * x / width}%`, top: `${-100 * y / height}%` });
  const seen = make('span', { class: 'crop' }, image);
  seen.style.aspectRatio = `${width * view.photo.width} / ${height * view.photo.height}`;
  return seen;
}

const pixels = () => aspect ? toShape(aspect) : ({
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
  newSize.textContent = `${whole.width} × ${whole.height}`;
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
  lookClose();
}

function showDivider() {
  const share = Number(slider.value);
  before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  const left = parseFloat(photo.style.left) || 0;
  Object.assign(divider.style, { left: `${left + (parseFloat(photo.style.width) || 0) * share / 100}px`,
    top: photo.style.top, height: photo.style.height });
}

function setMode(name) {
  if (mode !== name && !waiting && status.classList.contains('wrong')) say('');  // it was about the other
  mode = name;
  if (name === 'extend') {
    setComparing(false);
    if (!SIDES.some((side) => sides[side])) { sides = { left: 20, top: 0, right: 20, bottom: 0 }; aspect = null; showNumbers(); }
  }
  show();
}

function setComparing(on) {
  comparing = on && Boolean(view.photo && view.photo.before);
  lookClose();
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
