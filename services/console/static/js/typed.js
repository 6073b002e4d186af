// What is filled in and not sent: the page of the same address has it again, in this tab.

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */
/** @typedef {{ name: string, type: string, value: string, checked: boolean }} Given */

/** @param {string | null | undefined} text */
export const squeezed = (text) => (text ?? "").trim().replace(/\s+/g, " ");

/** @param {HTMLFormElement} form @returns {Field[]} what a person has changed in it */
export function changed(form) {
  return /** @type {Field[]} */ ([...form.elements]).filter((field) => {
    if (field instanceof HTMLSelectElement) {
      const first = Math.max(0, [...field.options].findIndex((o) => o.defaultSelected));
      return field.selectedIndex !== first;
    }
    if (field instanceof HTMLTextAreaElement) return field.value !== field.defaultValue;
    if (!(field instanceof HTMLInputElement) || field.type === "hidden" || field.type === "password") return false;
    return field.type === "checkbox" || field.type === "radio" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue || chips(field) !== "";
  });
}

/** @param {Field} field @returns {string} names that were picked, of a field of names */
export const chips = (field) => [...(field.closest(".picker")?.querySelectorAll("ul > li > [data-name]") ?? [])].map((e) => squeezed(e.textContent)).join(", ");

/** @param {Field} field @returns {field is HTMLInputElement} */
const checkable = (field) => field instanceof HTMLInputElement && (field.type === "checkbox" || field.type === "radio");

/** @param {HTMLFormElement} form @param {(field: Field) => string} [valueOf] @returns {Given[]} what a person has changed in it */
export const fieldsOf = (form, valueOf = ({ value }) => value) =>
  changed(form).map((field) => ({ name: field.name, type: field.type, value: valueOf(field), checked: checkable(field) && field.checked }));

/** @param {HTMLFormElement} form @param {Given[]} fields @param {(field: Field, value: string) => void} [put] @returns {boolean} whether it has all of them; no page can choose a file again */
export function fill(form, fields, put = (field, value) => (field.value = value)) {
  for (const { name, type, value, checked } of fields) {
    if (type === "file") continue;
    const same = /** @type {Field[]} */ ([...form.elements]).find((f) => f.name === name && f.type === type && (!checkable(f) || f.value === value));
    if (!same) return false;
    if (checkable(same)) same.checked = checked;
    else put(same, value);
  }
  return true;
}

/** The same page in another language or colour has the same texts. @param {string} prefix */
function here(prefix) {
  const asked = new URLSearchParams(location.search);
  for (const name of ["lang", "theme"]) asked.delete(name);
  return `${prefix}${location.pathname}?${asked}`;
}

/**
 * A reload, a link, a lost network or a phone that ends its browser takes no text away: the same address has it again, in this tab and
 * for the same owner. @param {string} prefix @param {() => object[]} unsent @param {() => string} owner
 * @returns {{ lost: any[], since: number } | null} what the page before left for this one
 */
export function keepTyped(prefix, unsent, owner) {
  const store = () => keep(here(prefix), unsent(), Date.now(), owner());
  const before = taken(here(prefix), owner());
  addEventListener("pagehide", store);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && store());
  addEventListener("pageshow", ({ persisted }) => persisted && taken(here(prefix), "")); // it stands there still
  return before;
}

/** Without a store that may be used the next page begins empty. @param {string} name @param {object[]} lost @param {number} since @param {string} owner */
export function keep(name, lost, since, owner) {
  try {
    if (lost.length) sessionStorage.setItem(name, JSON.stringify({ lost, since, session: owner }));
    else sessionStorage.removeItem(name);
  } catch {
    console.info("nothing can be kept for the next page");
  }
}

/** What a page left here is taken away, whoever reads this one. @param {string} name @param {string} owner @returns {{ lost: any[], since: number } | null} null: nothing, or another's */
export function taken(name, owner) {
  try {
    const left = JSON.parse(sessionStorage.getItem(name) ?? "null");
    sessionStorage.removeItem(name);
    return left?.session && left.session === owner ? left : null;
  } catch {
    return null;
  }
}
