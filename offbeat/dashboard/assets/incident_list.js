const COLORS = {critical: '#d55e00', high: '#e69f00', medium: '#0072b2', low: '#8a8f98'};
const DOTS = {critical: '●●●●', high: '●●●○', medium: '●●○○', low: '●○○○'};
function made() {
  const a = document.createElement('a');
  a.setAttribute('role', 'listitem');
  for (const name of ['level', 'severity', 'key', 'what', 'count', 'time', 'state']) {
    const span = document.createElement('span');
    span.className = name;
    span.dir = ['key', 'what', 'state'].includes(name) ? 'auto' : 'ltr';
    a.append(span);
  }
  return a;
}
function put(span, text) { if (span.textContent !== text) span.textContent = text; }
export default function (component) {
  const {data, parentElement, setTriggerValue} = component;
  const list = parentElement.querySelector('.list'), said = parentElement.querySelector('.said');
  const known = new Map();
  for (const a of list.children) known.set(a.dataset.id, a);
  let at = list.firstChild, fresh = 0;
  for (const row of data.rows) {
    let a = known.get(row.id);
    if (a) known.delete(row.id); else { a = made(); a.dataset.id = row.id; }
    if (a !== at) list.insertBefore(a, at); else at = at.nextSibling;
    a.href = '?incident=' + encodeURIComponent(row.id);
    a.style.setProperty('--level', COLORS[row.level] || '#8a8f98');
    if (row.fresh && !a.classList.contains('fresh')) fresh += 1;
    a.classList.toggle('fresh', Boolean(row.fresh));
    a.classList.toggle('muted', Boolean(row.muted));
    const [level, severity, key, what, count, time, state] = a.children;
    const shown = (DOTS[row.level] || '○○○○') + row.level;
    if (level.dataset.shown !== shown) {
      const dots = document.createElement('i');
      dots.textContent = DOTS[row.level] || '○○○○';
      dots.setAttribute('aria-hidden', 'true');
      level.replaceChildren(dots, document.createTextNode(row.level));
      level.dataset.shown = shown;
    }
    put(severity, row.severity); put(key, row.key); put(what, row.what); put(count, row.count); put(time, row.time); put(state, row.state);
    key.title = row.key; what.title = row.what;
    a.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      // The address first: every message from here on tells the server where one is.
      const told = new URLSearchParams(location.search);
      told.set('incident', row.id);
      history.pushState({}, '', location.pathname + '?' + told);
      setTriggerValue('opened', row.id + ' ' + performance.now());  // each click once, though a run may be begun anew with it
    };
  }
  for (const a of known.values()) a.remove();
  list.onkeydown = (event) => {
    const step = {ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling'}[event.key];
    const from = event.target.closest && event.target.closest('a');
    if (step && from && from[step]) { from[step].focus(); event.preventDefault(); }
  };
  if (fresh) said.textContent = fresh === 1 ? 'one new incident' : fresh + ' new incidents';
}
