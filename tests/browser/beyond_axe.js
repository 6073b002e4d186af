// What axe cannot see. `hideRepeated()` and `watch()` first, then Tab until `walk.over()`; `walk.faults` says what was wrong. `layoutFaults()` measures the page at
// the width of the window, and `oneOfEachLook()` returns the texts whose colours are worth a look.

/** Hide all but the first two neighbouring rows of one shape; each keeps its place. Of hundreds of equal rows, two show what is wrong with all. */
window.hideRepeated = () => {
  const SHOWN = 2, numbers = new Map(), shapes = new Map();
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

/** Return one text or field of each look: one contrast is that of all with its colour, size and weight on its stack of backgrounds. */
window.oneOfEachLook = () => {
  const looks = new Map(), stacks = new Map();
  /** The backgrounds behind an element, and the parts that float. */
  const stackOf = (e) => {
    if (!e) return "";
    if (!stacks.has(e)) {
      const { backgroundColor, backgroundImage, opacity, position } = getComputedStyle(e);
      const floats = /absolute|fixed|sticky/.test(position) ? `${e.id} ${e.className}` : "";
      stacks.set(e, [stackOf(e.parentElement), backgroundColor, backgroundImage, opacity, floats].join());
    }
    return stacks.get(e);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = [...document.querySelectorAll("input, select, textarea")];
  while (walker.nextNode()) if (/\S/.test(walker.currentNode.data)) seen.push(walker.currentNode.parentElement);
  for (const e of seen.filter((one) => one.checkVisibility({ visibilityProperty: true }))) {
    const { color, fontSize, fontWeight, textShadow, textDecorationLine } = getComputedStyle(e);
    const key = [e.localName, color, fontSize, fontWeight, textShadow, textDecorationLine, getComputedStyle(e.parentElement).color, stackOf(e)].join("|");
    if (!looks.has(key)) looks.set(key, e);
  }
  return [...looks.values()];
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

  const shown = () => [...document.querySelectorAll(FOCUSABLE)].filter((e) => e.checkVisibility({ visibilityProperty: true }));
  const still = new Map(shown().map((e) => [e, drawn(e)]));
  // A page that renews itself meanwhile shows hidden rows again, and new ones
  const walk = { faults: [], stops: new Set(), last: null, back: false, get many() { return shown().length; } };
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

/** Find the texts that cannot be read and the targets that cannot be hit at this width. */
window.layoutFaults = () => {
  const faults = new Set(), looks = new Map(), boxes = new Map(), ofReaders = new Map();
  const name = (e) => `${e.localName}${e.id ? `#${e.id}` : ""}${e.className && typeof e.className === "string" ? `.${e.className.trim().replace(/\s+/g, ".")}` : ""}`;
  const report = (fault, e, size) => faults.add(`${fault}: ${e.closest("[id], section, header") === e ? "" : `${name(e.closest("[id], section, header") ?? document.body)} > `}${name(e)} «${e.textContent.trim().replace(/\s+/g, " ").slice(0, 30)}» ${size}`);
  const remember = (map, e, make) => map.get(e) ?? map.set(e, make(e)).get(e);
  const look = (e) => remember(looks, e, getComputedStyle), box = (e) => remember(boxes, e, () => e.getBoundingClientRect());
  /** Words for screen readers, or a part that is not shown. */
  const isUnseen = (e) => !!e && remember(ofReaders, e, () => e.matches(".vh, .skip, script, style, template, noscript, option") || look(e).display === "none" || isUnseen(e.parentElement));
  const isShown = (e) => !isUnseen(e) && e.checkVisibility({ visibilityProperty: true });
  const lines = (rects) => new Set(rects.map((r) => Math.round(r.top / 4))).size;
  const rectsOf = (range) => [...range.getClientRects()].filter((r) => r.width > 0.5 && r.height > 0.5);

  if (document.documentElement.scrollWidth > innerWidth) faults.add(`the page scrolls sideways: ${document.documentElement.scrollWidth}`);

  const range = document.createRange(), texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!/\S/.test(node.data) || !isShown(e)) continue;
    range.selectNodeContents(node);
    const rects = rectsOf(range), block = ((b) => { while (/^inline$|contents/.test(look(b).display)) b = b.parentElement; return b; })(e);
    if (!rects.length) continue;
    if (!(e instanceof SVGElement) && lines(rects) > 1 && block.clientWidth < 180) {
      if (node.data.trim().length > 12 && lines(rects) > 3 && Math.max(...rects.map((r) => r.width)) < 60) report("a thin column", e, `${block.clientWidth} px`);
      for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
        if (word.length > 16 || /[-/]/.test(word)) continue;
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        if (lines(rectsOf(range)) > 1) report("a broken word", e, `${word}, ${block.clientWidth} px`);
      }
    }
    let floats = false, escaped = null, frame = null;
    for (let a = e; a !== document.body; a = a.parentElement) {
      if (a instanceof SVGElement && a.localName !== "svg") continue;
      const { position, overflowX, overflowY, textOverflow, webkitLineClamp } = look(a), room = box(a);
      const beyond = Math.max(...rects.map((r) => Math.max(r.right - room.right, room.left - r.left)));
      floats ||= /absolute|fixed|sticky/.test(position);
      if (/auto|scroll|hidden|clip/.test(overflowX + overflowY)) {
        if (/hidden|clip/.test(overflowX) && textOverflow !== "ellipsis" && webkitLineClamp === "none" && beyond > 2) report("a cut text", e, `${Math.round(beyond)} px`);
        frame = webkitLineClamp === "none" ? room : new DOMRect();
        break;
      }
      if (!floats && !escaped && beyond > 2 && a.matches("td, th, li, .card, button, .btn")) escaped = `${Math.round(beyond)} px beyond ${name(a)}`;
    }
    if (escaped) report("a text outside of its place", e, escaped);
    if (!floats) for (const r of rects) texts.push({ e, l: Math.max(r.left, frame?.left ?? r.left), r: Math.min(r.right, frame?.right ?? r.right), t: Math.max(r.top, frame?.top ?? r.top), b: Math.min(r.bottom, frame?.bottom ?? r.bottom) });
  }
  texts.sort((a, b) => a.t - b.t);
  texts.forEach((a, i) => {
    for (let j = i + 1; j < texts.length && texts[j].t < a.b - 5; j++) {
      const b = texts[j], wide = Math.min(a.r, b.r) - Math.max(a.l, b.l), high = Math.min(a.b, b.b) - b.t;
      if (wide > 3 && high > 5 && !a.e.contains(b.e) && !b.e.contains(a.e)) report("texts over each other", a.e, `and ${name(b.e)}`);
    }
  });

  for (const e of document.querySelectorAll("button, .btn, a.tag, nav a, .seg a, summary, select, textarea, input:not([type=hidden])")) {
    if (!isShown(e) || e.disabled || e.closest("svg, .picker")) continue;
    const { width, height } = box((e.matches("[type=radio], [type=checkbox]") && (e.closest("label") || e.labels[0])) || e);
    const least = innerWidth < 700 && e.closest(".phone, .mine") && !e.matches("a:not(.btn), summary, .check *") ? 44 : 24;
    if (width && (height < least - 0.5 || width < 23.5)) report("a small target", e, `${Math.round(width)}×${Math.round(height)}`);
  }
  for (const e of document.querySelectorAll("tbody, ul.rows, ul.cards, ol.log")) if (isShown(e) && !e.children.length) report("an empty list without a sentence", e, "");
  for (const e of document.querySelectorAll("body > *, main > *, .send")) if (/sticky|fixed/.test(look(e).position) && isShown(e) && box(e).height > innerHeight / 2) report("a part over half of the window", e, "");
  for (const e of document.querySelectorAll("details:is(.level-of, .ways, .menu, .held-to, .decide):not([open])")) {
    if (!isShown(e)) continue;
    e.open = true;
    for (const part of e.children) {
      const { left, right } = part.getBoundingClientRect();
      if (right > left && (left < 0 || right > innerWidth)) report("a part that opens outside of the window", part, `${Math.round(left)} to ${Math.round(right)}`);
    }
    e.open = false;
  }
  return [...faults];
};
