// A form for the API that is sent before the modules are here waits for them: the browser would post it as it stands, and show what is meant
// for programs. Loaded as a script of the old kind, before anything can be pressed.

(() => {
  /** @type {[HTMLFormElement, HTMLElement | null] | null} */
  let early = null;

  /** @param {SubmitEvent} event */
  function hold(event) {
    const form = event.target;
    if (!(form instanceof HTMLFormElement)) return;
    if (form.dataset.command === undefined && !/^\/(api|webhooks)\//.test(form.getAttribute("action") ?? "")) return;
    event.preventDefault();
    event.stopPropagation();
    early = [form, event.submitter];
  }

  addEventListener("submit", hold, true);
  document.addEventListener("DOMContentLoaded", () => {
    removeEventListener("submit", hold, true); // the modules have run by now
    if (early) early[0].requestSubmit(early[1]);
  });
})();
