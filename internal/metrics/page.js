'use strict';
// Keeps the page fresh: it asks for the same page again and takes over what differs. What
// is shown, and in which order, is decided by the server and stands in the address.
(() => {
  const every = 5000, timeout = 15000;
  const fresh = document.getElementById('fresh');
  const field = document.getElementById('q');
  let timer, running, typed, last = Date.now();

  document.documentElement.classList.add('script');

  // morph makes the element a like b, and leaves alone what is the same: a selection, the
  // focus and the place on the page stay.
  const morph = (a, b) => {
    if (a.isEqualNode(b) || a.id === 'filter') return;
    if (a.nodeName !== b.nodeName || a.nodeType !== Node.ELEMENT_NODE) {
      a.replaceWith(document.importNode(b, true));
      return;
    }
    for (const {name} of [...a.attributes]) if (!b.hasAttribute(name)) a.removeAttribute(name);
    for (const {name, value} of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    if (a.nodeName === 'TBODY') {
      rows(a, b);
      return;
    }
    const from = [...a.childNodes], to = [...b.childNodes];
    to.forEach((node, i) => from[i] ? morph(from[i], node) : a.append(document.importNode(node, true)));
    from.slice(to.length).forEach(node => node.remove());
  };

  // rows brings the rows of the table up to date. A row is found by its id, wherever it
  // is.
  const rows = (a, b) => {
    const old = new Map([...a.rows].map(row => [row.id, row]));
    const news = [];
    let next = a.firstElementChild;
    for (const row of b.rows) {
      let mine = old.get(row.id);
      if (mine) {
        old.delete(row.id);
        const was = mine.className.replace(' changed', '');
        if (was !== row.className) {
          if (row.className === 'failing' || was === 'failing') {
            news.push(row.dataset.name + (was === 'failing' ? ' does not fail any more' : ' fails now'));
          }
          row.classList.add('changed');
        }
        if (mine === next) next = next.nextElementSibling;
        else a.insertBefore(mine, next);
        morph(mine, row);
      } else {
        a.insertBefore(document.importNode(row, true), next);
      }
    }
    old.forEach(row => row.remove());
    if (news.length) {
      document.getElementById('news').textContent =
        news.length > 3 ? news.length + ' tenants have changed' : news.join('. ') + '.';
    }
  };

  const refresh = async () => {
    clearTimeout(timer);
    running?.abort();
    const mine = running = new AbortController();
    const late = setTimeout(() => mine.abort(), timeout);
    try {
      const answer = await fetch(location.pathname + location.search, {cache: 'no-store', signal: mine.signal});
      const changed = 'the token has changed: load the page again';
      if (!answer.ok) throw new Error(answer.status === 401 ? changed : answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (mine !== running) return;
      for (const id of ['fresh', 'main']) morph(document.getElementById(id), page.getElementById(id));
      document.title = page.title;
      document.querySelector('link[rel=icon]').href = page.querySelector('link[rel=icon]').getAttribute('href');
      last = Date.now();
    } catch (e) {
      if (mine !== running) return;
      fresh.className = 'late';
      fresh.textContent = 'Not up to date for ' + Math.round((Date.now() - last) / 1000) +
        ' s: the input does not answer' + (e.name === 'Error' ? ' (' + e.message + ')' : '');
    } finally {
      clearTimeout(late);
      if (mine === running) timer = setTimeout(refresh, every);
    }
  };

  const show = address => {
    if (address !== location.pathname + location.search) history.replaceState(null, '', address);
    refresh();
  };

  // Links of the page only change what is shown.
  document.addEventListener('click', e => {
    const link = e.target.closest('a');
    if (!link || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    const to = new URL(link.href);
    if (to.pathname !== '/') return;
    e.preventDefault();
    field.value = to.searchParams.get('q') ?? '';
    show('/' + to.search);
  });

  const search = () => {
    const query = new URLSearchParams(location.search);
    if (field.value) query.set('q', field.value);
    else query.delete('q');
    const text = query.toString();
    show(text ? '/?' + text : '/');
  };
  field.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(search, 150);
  });
  document.getElementById('filter').addEventListener('submit', e => {
    e.preventDefault();
    clearTimeout(typed);
    search();
  });
  document.addEventListener('keydown', e => {
    if (e.key === '/' && document.activeElement !== field && !e.ctrlKey && !e.metaKey && !e.altKey) {
      e.preventDefault();
      field.focus();
      field.select();
    }
    if (e.key === 'Escape' && document.activeElement === field && field.value) {
      field.value = '';
      search();
    }
  });
  addEventListener('popstate', refresh);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Date.now() - last > every) refresh();
  });
  timer = setTimeout(refresh, every);
})();
