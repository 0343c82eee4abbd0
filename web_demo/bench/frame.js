// The frame of Extend: by numbers, by shapes, by its handles.

function showNumbers() {
  for (const side of SIDES) if (document.activeElement !== numbers[side]) numbers[side].value = Math.round(sides[side]);
  handles.forEach((handle, i) => {
    handle.setAttribute('aria-valuenow', Math.round(sides[SIDES[i]]));
    handle.setAttribute('aria-valuetext', `${Math.round(sides[SIDES[i]])} percent`);
  });
  for (const each of shapes.children) each.setAttribute('aria-pressed', String(each.dataset.shape === aspect));
}

function setSide(side, percent) {
  sides[side] = Math.min(MOST_PERCENT, Math.max(0, percent || 0));
  aspect = null;
  showNumbers();
  layout();
}

// a half goes to the even number, as it does on the server
function even(number) {
  const whole = Math.floor(number), rest = number - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
}

// pixels to add for a shape
function toShape(shape) {
  const { width, height } = view.photo;
  const [across, down] = shape === 'A4' ? (width > height ? [297, 210] : [210, 297]) : shape.split(':').map(Number);
  const wide = Math.max(0, even(height * (across / down)) - width), high = Math.max(0, even(width / (across / down)) - height);
  return { left: Math.floor(wide / 2), right: Math.ceil(wide / 2), top: Math.floor(high / 2), bottom: Math.ceil(high / 2) };
}

function setAspect(shape) {
  const { width, height } = view.photo, add = toShape(shape);
  aspect = shape;
  const h = 50 * (add.left + add.right) / width, v = 50 * (add.top + add.bottom) / height;
  sides = { left: h, right: h, top: v, bottom: v };
  showNumbers();
  layout();
}

// outwards is where the handle's own side is; the other axis' arrows do as in any slider
const OUTWARDS = { left: 'ArrowLeft', right: 'ArrowRight', top: 'ArrowUp', bottom: 'ArrowDown' };
const OPPOSITE = { ArrowLeft: 'ArrowRight', ArrowRight: 'ArrowLeft', ArrowUp: 'ArrowDown', ArrowDown: 'ArrowUp' };

function pushHandle(event, side) {
  if (waiting || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? 1 : 5;
  const along = side === 'left' || side === 'right' ? ['ArrowLeft', 'ArrowRight'] : ['ArrowUp', 'ArrowDown'];
  const more = along.includes(event.key) ? OUTWARDS[side] : ['ArrowUp', 'ArrowRight'].includes(event.key) ? event.key : '';
  if (event.key === 'Home') setSide(side, 0);
  else if (event.key === 'End') setSide(side, MOST_PERCENT);
  else if (event.key === 'PageUp') setSide(side, sides[side] + 25);
  else if (event.key === 'PageDown') setSide(side, sides[side] - 25);
  else if (OPPOSITE[event.key]) setSide(side, sides[side] + (event.key === more ? step : -step));
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Enter extends, unless it presses a button
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || mode !== 'extend' || event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = event.target === document.body || root.contains(event.target);
  if (!inside || event.target.closest('button')) return;
  event.preventDefault();
  run();
});

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
