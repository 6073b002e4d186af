// Brings a part of the page to a new state, touching only what differs. Rows are known by `data-key` or `id`, so that
// scroll, focus, selection and open details stay where they are.

/** Attributes that belong to the browser's side: a refresh neither adds nor removes them. */
const OWN = new Set(["hidden", "open", "aria-selected", "data-column"]);

/** @param {Node} node @returns {string} what names it among its siblings, or "" */
function keyOf(node) {
  return node instanceof Element ? node.getAttribute("data-key") || node.id || "" : "";
}

/**
 * Makes `from` look like `to`. An element with `data-own` keeps its content and attributes; closed details without anything written do not.
 * @param {Element} from in the page
 * @param {Element} to as the server renders it now
 * @param {(changed: Element) => void} tell called for each keyed element that is new or whose text changed
 */
export function morph(from, to, tell) {
  if (from.hasAttribute("data-own") && !idle(from)) return;
  attributes(from, to);
  children(from, to, tell);
}

/** @param {Element} own @returns {boolean} its forms would show an old state when somebody opens it */
function idle(own) {
  const fields = /** @type {NodeListOf<HTMLInputElement | HTMLTextAreaElement>} */ (own.querySelectorAll("input, textarea"));
  const written = [...fields].some((field) => field.value !== field.defaultValue || ("checked" in field && field.checked !== field.defaultChecked));
  return own instanceof HTMLDetailsElement && !own.open && own.querySelector("form[data-version]") !== null && !written;
}

/** @param {Element} from @param {Element} to */
function attributes(from, to) {
  for (const { name, value } of [...to.attributes]) {
    if (!OWN.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!OWN.has(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
}

/** @param {Node} a @param {Node} b @returns {boolean} `a` may become `b` */
function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

/** @param {Element} from @param {Element} to @param {(changed: Element) => void} tell */
function children(from, to, tell) {
  const wanted = [...to.childNodes];
  const names = new Set(wanted.map(keyOf));
  /** @type {Map<string, Element>} */
  const keyed = new Map();
  for (const child of [...from.children]) {
    const key = keyOf(child);
    if (!key) continue;
    if (names.has(key)) keyed.set(key, child);
    else child.remove();
  }
  wanted.forEach((node, place) => {
    const here = from.childNodes[place] ?? null;
    const match = keyOf(node) ? keyed.get(keyOf(node)) : unkeyed(here, node);
    if (!match || match.nodeName !== node.nodeName) {
      const added = document.importNode(node, true);
      from.insertBefore(added, here);
      if (added instanceof Element && keyOf(added)) tell(added);
      return;
    }
    if (match !== here) from.insertBefore(match, here);
    update(match, node, tell);
  });
  while (from.childNodes.length > wanted.length) from.lastChild?.remove();
}

/** @param {ChildNode | null} here @param {Node} node @returns {ChildNode | null} the next node without a name that may become it */
function unkeyed(here, node) {
  let at = here;
  while (at && !alike(at, node)) at = at.nextSibling;
  return at;
}

/** @param {Node} match @param {Node} node @param {(changed: Element) => void} tell */
function update(match, node, tell) {
  if (match instanceof Element && node instanceof Element) {
    const before = keyOf(match) ? match.textContent : null;
    morph(match, node, tell);
    if (before !== null && before !== match.textContent) tell(match);
  } else if (match.nodeValue !== node.nodeValue) match.nodeValue = node.nodeValue;
}
