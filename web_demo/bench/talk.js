// Talking to the server: asking, hearing, and asking again when nothing is heard.
//
// Whatever is asked has a ticket, and the answer names it. Answers come by Gradio; when they stay out (a connection that
// dropped, a phone that slept), the page looks how things stand by itself.

let ticket = '';                 // of what the page waits for
let asked = 0;                   // counts, so that the newest photo wins
let started = 0;                 // when that was asked, ms
let heard = 0;                   // when the server last said something
let looked = 0;                  // when the page last looked
let failing = 0;                 // since when nothing gets through; 0 while all is well
let slow = 0;                    // looks in a row that were not answered
let looking = false;
let cameFrom = null;             // what had the focus when the work began

const secret = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
const address = (what) => `${base}/${what}?key=${encodeURIComponent(view.key || '')}&ticket=${encodeURIComponent(ticket)}`;

function ask(what, said = {}) {
  waiting = true;
  heard = looked = started = Date.now();
  asked += 1;
  ticket = secret();
  if (what === 'run_erase' || what === 'run_extend') {
    view.busy = { text: 'Starting', fraction: 0, ticket };
    cameFrom = document.activeElement;
  }
  say('');
  trigger(what, { ...said, ticket, key: view.key || null });
  show();
}

function hear(told) {
  // answers may overtake each other; those of another server's life are counted afresh
  if (!told || (told.server === view.server && told.serial <= view.serial)) return;
  heard = Date.now();
  const old = view;
  view = JSON.parse(JSON.stringify(told));
  if (view.busy && !ticket) ticket = view.busy.ticket;
  if (view.answers && view.answers === ticket) {
    ticket = view.busy ? view.busy.ticket : '';
    waiting = Boolean(view.busy);
  }
  if (view.opened) { zoom = 1; setComparing(false); sides = { left: 0, top: 0, right: 0, bottom: 0 }; aspect = null; showNumbers(); }
  if (view.painted || view.opened || (old.photo && old.current !== view.current && !view.busy)) forget();
  if (view.painted && mode === 'extend') setMode('erase');
  if (view.error) say(view.error, true);
  else if (view.text) say(view.text);
  else if (view.busy) say('');
  if (view.download) fetchFile(view.download);
  show();
}

watch('value', () => hear(props.value));

function giveUp(text, forget = true) {
  waiting = false;
  if (forget) ticket = '';
  view.busy = null;
  say(text, true);
  show();
}

async function look() {
  if (looking) return;
  looking = true;
  looked = Date.now();
  const key = view.key;  // it may be another one when the answer comes
  try {
    const answer = await fetch(address('look'), { cache: 'no-store', signal: AbortSignal.timeout(6000) });
    if (answer.status >= 500) throw new Error('the server fails');
    if (failing) { window.location.reload(); return; }  // Gradio would do so in a moment, and lose what is asked till then
    if (answer.ok) hear(await answer.json());
    else if (key && key === view.key) {
      Object.assign(view, { key: '', photo: null, steps: [], variations: [] });
      shown = null;
      forget();
      giveUp('Your pictures are no longer on the server: it was started anew, or they were too old. Choose the photo again.');
    }
    if (view.working) started = Date.now();
    if (waiting && ticket && !view.busy && Date.now() - started > 15000) giveUp('That did not reach the server. Please try again.');
    slow = 0;
  } catch (error) {
    slow += 1;
    if (error.name === 'TimeoutError' && slow < 4) return;  // busy, and there
    failing = failing || Date.now();
    if (waiting && Date.now() - failing < 8000) say('The connection is lost. Trying again…', true);
    else if (waiting) giveUp('The server does not answer. When it does again, this page goes on by itself.', false);
  } finally {
    looking = false;
  }
}

setInterval(() => {
  const now = Date.now();
  if (waiting && ticket && now - looked > 1000 && (now - heard > 2000 || now - looked > 5000)) look();
  else if (!waiting && failing && now - looked > 5000) look();
}, 500);
const awake = () => { if (document.visibilityState === 'visible' && view.key) look(); };
document.addEventListener('visibilitychange', awake);
for (const name of ['online', 'pageshow']) window.addEventListener(name, awake);

function stop() {
  stopButton.disabled = true;
  fetch(address('stop'), { method: 'POST', keepalive: true }).catch(() => { stopButton.disabled = false; });
}
// the server would notice by itself, only later
window.addEventListener('pagehide', () => { keep(); if (view.key) navigator.sendBeacon(address('leave')); });

// Gradio loads the page anew when a connection was gone; then all is to be as before
const STORE = 'magic-eraser';

function keep() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ key: view.key, ticket, shown, strokes, size: [mask.width, mask.height] }));
  } catch { /* too many strokes, or not allowed: then they are lost */ }
}

function resume() {
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(STORE)); } catch { /* as above */ }
  if (!kept || !kept.key) return;
  Object.assign(view, { key: kept.key });
  ticket = kept.ticket || '';
  waiting = Boolean(ticket);
  started = 0;  // what had not arrived by now never will
  if (kept.shown) {
    shown = kept.shown;
    photo.src = shown;
    [mask.width, mask.height] = kept.size;
    strokes = kept.strokes || [];
    draw();
  }
  look();
}

async function open(chosen) {
  const limit = props.limits.megabytes;
  if (chosen.size > limit * 1e6) {
    say(`${chosen.name} has ${Math.round(chosen.size / 1e6)} MB, and this page takes up to ${limit}.`, true);
    return;
  }
  if (chosen.size === 0) { say(`${chosen.name} is empty.`, true); return; }
  waiting = true;
  asked += 1;
  const mine = asked;
  say('Sending the photo…');
  show();
  try {
    // a name of its own: Gradio keeps equal files under equal names in one place, and the server takes them away there
    const ending = (/\.\w{1,5}$/.exec(chosen.name) || [''])[0];
    const { path } = await upload(new File([chosen], secret() + ending, { type: chosen.type }));
    if (mine !== asked) return;  // another one has come meanwhile
    ask('open_photo', { path, name: chosen.name });
    say('Opening the photo…');
  } catch {
    if (mine === asked) giveUp('The photo could not be sent. Is the server running, and has it room for the file?');
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
