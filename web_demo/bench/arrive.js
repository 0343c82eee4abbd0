// Photos come in, and the page is ready.

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
resume();
show();
root.classList.add('ready');
