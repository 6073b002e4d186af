// A sound while a crisis waits for somebody to take charge, for those who switched it on. The browser keeps the choice.

import { onRefresh } from "./live.js";

const SWITCH = "vigie-sound";
const EVERY_MS = 5000;
const html = document.documentElement;
/** @type {AudioContext | null} */
let audio = null;
let timer = 0;

/** @returns {boolean} */
function switchedOn() {
  try {
    return localStorage.getItem(SWITCH) === "on";
  } catch {
    return false;
  }
}

/** Two short tones. A browser that was never touched stays silent. */
function ring() {
  audio ??= new AudioContext();
  if (audio.state === "suspended") audio.resume();
  for (const [start, pitch] of [[0, 880], [0.25, 660]]) {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = pitch;
    volume.gain.value = 0.15;
    tone.connect(volume).connect(audio.destination);
    tone.start(audio.currentTime + start);
    tone.stop(audio.currentTime + start + 0.2);
  }
  html.dataset.rung = String(Number(html.dataset.rung ?? 0) + 1);
}

function follow() {
  for (const button of document.querySelectorAll("[data-sound]")) button.setAttribute("aria-pressed", String(switchedOn()));
  const wanted = switchedOn() && (html.dataset.alarm ?? "") !== "";
  if (wanted && !timer) {
    ring();
    timer = setInterval(ring, EVERY_MS);
  } else if (!wanted && timer) {
    clearInterval(timer);
    timer = 0;
  }
}

function toggle() {
  try {
    localStorage.setItem(SWITCH, switchedOn() ? "off" : "on");
  } catch {
    return;
  }
  follow();
}

export function start() {
  follow();
  onRefresh(follow);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-sound]")) toggle();
  });
}
