// Small tools: elements made in one line, and addresses on this server.
//
// These files are joined into one script, in the order that app.py gives, and Gradio runs it once per page with element,
// trigger, props, upload and watch. The page paints on a copy of the photo that fits the screen; the server has the file
// itself and is sent strokes only.

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
