// Makes pages quicker to use: live parts, keys, copying, checks while a form is filled in. Every page works without it.
(() => {
  'use strict';
  const root = document.documentElement;
  root.classList.add('js');
  const $ = (query, from = document) => from.querySelector(query);
  const $$ = (query, from = document) => [...from.querySelectorAll(query)];

  // On a phone the navigation is a line that is longer than the screen.
  $('.side nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });

  // Live: when something happened the page is asked for again, and only rows that changed are replaced.
  const live = { source: null, timer: null, last: null, opened: null, again: null, busy: false };

  function merge(before, after) {
    const known = new Map([...before.children].filter((e) => e.dataset.key).map((e) => [e.dataset.key, e]));
    if (!known.size && ![...after.children].some((e) => e.dataset.key)) {
      if (before.innerHTML !== after.innerHTML && !before.contains(document.activeElement)) before.replaceChildren(...after.childNodes);
      return;
    }
    let place = before.firstElementChild;
    for (const fresh of [...after.children]) {
      const old = known.get(fresh.dataset.key);
      if (old) {
        known.delete(fresh.dataset.key);
        const used = old.contains(document.activeElement);
        const stays = old.outerHTML.replace(' class="new"', '') === fresh.outerHTML;
        const shown = stays || used ? old : fresh;
        if (shown === fresh) old.replaceWith(fresh);
        if (place === old) place = shown;
        if (place === shown) place = shown.nextElementSibling;
        else before.insertBefore(shown, place);
      } else {
        if (fresh.tagName === 'TR') fresh.classList.add('new');
        before.insertBefore(fresh, place);
      }
    }
    for (const gone of known.values()) if (!gone.contains(document.activeElement)) gone.remove();
  }

  const whole = (part) => part.closest('.scroll') ?? part;

  async function refresh() {
    if (live.busy) return;
    live.busy = true;
    const source = live.source;
    try {
      // Nobody's doing: what a page asks for by itself keeps no session alive.
      const headers = { Accept: 'text/html', 'Postrider-By-Itself': '1' };
      const answer = await fetch(location.href, { headers, redirect: 'error' });
      if (answer.status === 401 || answer.status === 410) return location.reload();
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      // Whoever has stopped it meanwhile wants the page to stand still.
      if (source !== live.source) return;
      for (const part of $$('[data-live]')) {
        const fresh = $(`[data-live="${part.dataset.live}"]`, page);
        if (!fresh) continue;
        // A table where there was a line that there is nothing, or the other way round.
        if (fresh.tagName !== part.tagName) whole(part).replaceWith(whole(fresh));
        else merge(part, fresh);
      }
    } catch { /* The next one may come through. */ } finally { live.busy = false; }
  }

  function soon() {
    clearTimeout(live.timer);
    clearTimeout(live.last);
    live.timer = setTimeout(refresh, 150);
    // What an attempt changes is written down a moment after it ended.
    live.last = setTimeout(refresh, 1600);
  }

  // Where a browser keeps nothing for these pages, touching its store throws.
  function remember(state) {
    try { sessionStorage.setItem('live', state); } catch { /* Then it is live on every page. */ }
  }

  function remembered() {
    try { return sessionStorage.getItem('live'); } catch { return null; }
  }

  // Where as many pages are live as may be, this one is looked at now and then until there is room.
  const NO_ROOM_SECONDS = 30;

  function stop() {
    for (const timer of [live.again, live.timer, live.last, live.opened]) clearTimeout(timer);
    if (live.source) live.source.close();
    live.source = null;
  }

  function watch(on) {
    const button = $('#live');
    if (!button) return;
    stop();
    button.setAttribute('aria-pressed', String(on));
    button.textContent = 'Live';
    remember(on ? 'on' : 'off');
    // A page that nobody sees leaves its place to others.
    if (!on || document.hidden) return;
    const source = new EventSource(button.dataset.source);
    live.source = source;
    source.addEventListener('attempt', soon);
    source.addEventListener('open', () => {
      button.setAttribute('data-open', '');
      // What happened between the page and the feed was told to nobody.
      live.opened = setTimeout(refresh, 500);
    });
    source.addEventListener('error', () => {
      // While it is not closed the browser tries again by itself.
      if (source !== live.source || source.readyState !== EventSource.CLOSED) return;
      button.textContent = `Live, every ${NO_ROOM_SECONDS} s`;
      live.again = setTimeout(() => refresh().finally(() => watch(true)), 1000 * NO_ROOM_SECONDS);
    });
  }

  const button = $('#live');
  const isOn = () => button.getAttribute('aria-pressed') === 'true';
  if (button) {
    button.addEventListener('click', () => watch(!isOn()));
    watch(remembered() !== 'off');
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) stop();
      else if (isOn()) watch(true);
    });
  }
  const again = $('[data-again]');
  if (again) setInterval(() => { if (!document.hidden) refresh(); }, 1000 * Number(again.dataset.again));

  // Copying.
  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const source = $(button.dataset.copy);
    const text = 'value' in source ? source.value : source.textContent;
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand('copy');
    }
    const name = button.textContent;
    button.textContent = done ? 'Copied' : 'Selected';
    setTimeout(() => { button.textContent = name; }, 1500);
  });

  // A form is judged while it is filled in, by the same rules as when it is sent.
  for (const form of $$('form[data-check]')) {
    let turn = 0;
    form.addEventListener('change', async (event) => {
      const field = event.target;
      if (!field.name || field.type === 'password') return;
      const mine = ++turn;
      const answer = await fetch(form.dataset.check, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
      if (!answer.ok || mine !== turn) return;
      const faults = await answer.json();
      field.dataset.touched = '';
      for (const input of $$('[name]', form)) {
        const place = document.getElementById(`fault-${input.name}`);
        if (!place || !('touched' in input.dataset)) continue;
        place.textContent = faults[input.name] || '';
        input.setAttribute('aria-invalid', String(Boolean(faults[input.name])));
      }
    });
  }

  // A filter applies at once.
  for (const form of $$('form[data-at-once]')) {
    form.addEventListener('change', () => form.requestSubmit());
  }
  for (const form of $$('form[data-sure]')) {
    form.addEventListener('submit', (event) => { if (!confirm(form.dataset.sure)) event.preventDefault(); });
  }

  // Keys.
  let afterG = 0;
  const rows = () => $$('table.list tbody a.row, .timeline a.step');
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest('input,textarea,select');
    if (field) { if (event.key === 'Escape') field.blur(); return; }
    if (event.target.closest('dialog')) return;
    if (Date.now() - afterG < 1200) {
      afterG = 0;
      const place = $(`nav [data-key="${CSS.escape(event.key)}"]`);
      if (place) { event.preventDefault(); place.click(); }
      return;
    }
    if (event.key === 'g') afterG = Date.now();
    else if (event.key === '/') { event.preventDefault(); $('#q')?.focus(); }
    else if (event.key === '?') $('#keys')?.showModal();
    else if (event.key === 'l') $('#live')?.click();
    else if (event.key === 'j' || event.key === 'k') {
      const all = rows();
      const at = all.indexOf(document.activeElement);
      const next = event.key === 'j' ? all[at + 1] ?? all[0] : all[at - 1] ?? all.at(-1);
      next?.focus();
    }
  });
})();
