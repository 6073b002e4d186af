// What axe cannot see. `hideRepeated()` and `watch()` first, then Tab until `walk.over()`; `walk.faults` says what was wrong.

/** Hide all but the first three neighbouring rows of one shape; each keeps its place. Of hundreds of equal rows, three show what is wrong with all. */
window.hideRepeated = () => {
  const SHOWN = 3, numbers = new Map(), shapes = new Map();
  const own = ({ name, value }) => (/^(class|role|type|aria-(?!label|labelledby|describedby|controls)|tabindex)/.test(name) || value === "" ? `${name}=${value}` : name);
  /** Its tag, states, kinds of text, and the shapes of what it holds, however often they follow each other. */
  const shapeOf = (e) => {
    const parts = [e.localName, ...[...e.attributes].map(own)];
    for (const node of e.childNodes) {
      const part = node instanceof Element ? shapeOf(node) : node.nodeType === Node.TEXT_NODE && node.data.trim() ? "text" : null;
      if (part !== null && part !== parts.at(-1)) parts.push(part);
    }
    const key = parts.join();
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    shapes.set(e, numbers.get(key));
    return shapes.get(e);
  };
  const thin = (parent) => {
    const counts = new Map();
    for (const child of parent.children) {
      const shape = shapes.get(child), count = (counts.get(shape) ?? 0) + 1;
      counts.set(shape, count);
      if (count > SHOWN && /^(li|tr|details)$/.test(child.localName)) child.style.visibility = "hidden";
      else thin(child);
    }
  };
  shapeOf(document.body);
  thin(document.body);
};

window.watch = () => {
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const name = (e) => `${e.localName}${e.id ? `#${e.id}` : ""} «${(e.getAttribute("aria-label") ?? e.textContent ?? "").trim().slice(0, 30)}»`;

  /** Everything by which the place of the focus may show: on the element, what it holds, or the label or field that is drawn around it. */
  const drawn = (e) =>
    [e, e.closest("label, .field"), ...e.querySelectorAll("rect, circle, path, use")]
      .filter(Boolean)
      .map((part) => {
        const s = getComputedStyle(part);
        return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.borderColor, s.stroke, s.strokeWidth, s.backgroundColor].join();
      })
      .join(";");

  const covered = (e) => {
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height) return null;
    const spots = [0.1, 0.5, 0.9].map((share) => document.elementFromPoint(box.x + box.width * share, box.y + box.height / 2));
    const over = spots.filter((s) => s && !e.contains(s) && !s.contains(e) && !s.closest("label")?.contains(e));
    return over.length === spots.length ? over[0] : null;
  };

  const shown = [...document.querySelectorAll(FOCUSABLE)].filter((e) => e.checkVisibility({ visibilityProperty: true }));
  const still = new Map(shown.map((e) => [e, drawn(e)]));
  const walk = { faults: [], stops: new Set(), last: null, back: false, many: still.size };
  document.addEventListener("focusin", ({ target: e }) => {
    walk.back ||= walk.stops.size > 1 && walk.stops.has(e) && e !== walk.last;
    if (walk.stops.has(e)) return;
    walk.stops.add(e);
    walk.last = e;
    if (still.get(e) === drawn(e)) walk.faults.push(`no sign of the focus: ${name(e)}`);
    requestAnimationFrame(() => {
      const above = document.activeElement === e ? covered(e) : null;
      if (above) walk.faults.push(`the focus is covered: ${name(e)} by ${name(above)}`);
    });
  });
  walk.over = () => walk.back || document.activeElement === document.body;

  /** A state has a shape of its own and a word, whatever its colour. */
  const shapes = new Map([...document.querySelectorAll("symbol[id^='s-']")].map((s) => [s.id.slice(2), s.innerHTML]));
  for (const use of document.querySelectorAll("use[href^='#s-']")) {
    const shape = use.getAttribute("href").slice(3);
    const states = [...use.classList, ...(use.parentElement?.classList ?? [])].filter((c) => shapes.has(c));
    if (states.some((state) => state !== shape)) walk.faults.push(`a ${states} is drawn as ${shape}`);
  }
  if (new Set(shapes.values()).size !== shapes.size) walk.faults.push("two states have the same shape");
  for (const state of document.querySelectorAll(".st")) if (!state.textContent.trim()) walk.faults.push(`a state without a word: ${state.className}`);

  for (const use of document.querySelectorAll("use[href^='#']")) {
    if (!(document.getElementById(use.getAttribute("href").slice(1)) instanceof SVGElement)) walk.faults.push(`a drawing that is not there: ${use.getAttribute("href")}`);
  }

  window.walk = walk;
};
