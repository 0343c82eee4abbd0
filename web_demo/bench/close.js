// Looking close: where the copy is magnified, the part that is seen comes from the file itself.

let closer = null;               // {x, y, width, height} in the photo's pixels, number: of the detail that is shown
let closerTimer = 0;

function seenClosely() {
  // what the view shows of the photo, if the copy has less than the screen could show
  const { width, height, copyWidth } = view.photo;
  const scale = Number(root.dataset.scale);
  if (zoom <= 1 || copyWidth >= width || scale * window.devicePixelRatio * width < 1.1 * copyWidth) return null;
  const left = parseFloat(photo.style.left), top = parseFloat(photo.style.top);
  const x = Math.max(0, Math.floor((stage.scrollLeft - left) / scale));
  const y = Math.max(0, Math.floor((stage.scrollTop - top) / scale));
  const right = Math.min(width, Math.ceil((stage.scrollLeft + stage.clientWidth - left) / scale));
  const bottom = Math.min(height, Math.ceil((stage.scrollTop + stage.clientHeight - top) / scale));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y, number: view.current } : null;
}

function lookClose() {
  clearTimeout(closerTimer);
  const wanted = view.photo && mode === 'erase' && !comparing ? seenClosely() : null;
  if (!wanted || closer && closer.number !== wanted.number) closer = null;
  showCloser();
  if (wanted && JSON.stringify(wanted) !== JSON.stringify(closer)) closerTimer = setTimeout(() => fetchCloser(wanted), 150);
}

function fetchCloser(wanted) {
  const { x, y, width, height, number } = wanted;
  const image = new Image();
  image.onload = () => {
    if (number !== view.current || !view.photo || zoom <= 1 || comparing || mode !== 'erase') return;
    closer = wanted;
    detail.src = image.src;
    showCloser();
  };
  image.src = full(view.photo.url.replace(/[^/]*$/, `part?box=${x},${y},${width},${height}`));
}

function showCloser() {
  detail.hidden = !closer;
  if (!closer) return;
  const scale = Number(root.dataset.scale);
  Object.assign(detail.style, {
    left: `${parseFloat(photo.style.left) + closer.x * scale}px`, top: `${parseFloat(photo.style.top) + closer.y * scale}px`,
    width: `${closer.width * scale}px`, height: `${closer.height * scale}px` });
}

stage.addEventListener('scroll', lookClose);
