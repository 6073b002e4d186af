// The time slider: moves the field beside it, and asks for that time when it is let go. Without it the field and its button do the same.

const paris = new Intl.DateTimeFormat("sv-SE", { timeZone: "Europe/Paris", dateStyle: "short", timeStyle: "short" });

export function start() {
  const slider = document.getElementById("past-slider");
  const field = document.getElementById("past-at");
  if (!(slider instanceof HTMLInputElement) || !(field instanceof HTMLInputElement)) return;
  const show = () => {
    const at = paris.format(Number(slider.value));
    field.value = at.replace(" ", "T");
    slider.setAttribute("aria-valuetext", at);
  };
  slider.hidden = false;
  slider.setAttribute("aria-valuetext", paris.format(Number(slider.value)));
  slider.addEventListener("input", show);
  slider.addEventListener("change", () => field.form?.requestSubmit());
}
