// What all pages share: the theme, the token of state-changing requests, notices, the state of the stream, sliders, copying.
"use strict";

// ---- theme: light, dark, as the system
const THEMES = ["light", "dark", ""];
const themeButton = document.getElementById("theme");
const nameTheme = () => {
  const theme = document.documentElement.dataset.theme;
  themeButton.setAttribute("aria-label", `Theme: ${theme || "as the system"}`);
};
themeButton.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "") + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    if (next) localStorage.setItem("theme", next);
    else localStorage.removeItem("theme");
  } catch {
    // storage is turned off: it holds for this page
  }
  nameTheme();
  document.dispatchEvent(new Event("theme"));
});
nameTheme();

// ---- every request of a page carries the page's token
const token = document.querySelector('meta[name="csrf-token"]').content;
document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["x-csrf-token"] = token;
  event.detail.ctx.request.headers["cfx-actor"] = "dashboard";
});

// ---- refusals that are no fragment of ours, and requests that got no answer
const notice = (title, text) => {
  const line = document.createElement("p");
  line.className = "notice bad";
  line.setAttribute("role", "alert");
  const bold = document.createElement("b");
  bold.textContent = `${title}. `;
  line.append(bold, text);
  document.getElementById("notices").replaceChildren(line);
};
document.addEventListener("htmx:before:response", (event) => {
  const answer = event.detail.ctx.response.raw;
  if (!answer.headers.get("content-type")?.startsWith("application/problem+json")) return;
  event.preventDefault();
  answer.json().then((problem) => notice(problem.title, problem.detail));
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx?.sourceElement?.hasAttribute("hx-sse:connect")) return;
  notice("No answer", "The coordinator did not answer; try again.");
});

// ---- the stream: says when it is lost and when it is back. hx-sse closes it while the tab is hidden.
const stream = document.getElementById("stream");
let lost = false;
const say = (kind, text) => {
  stream.className = kind;
  stream.textContent = text;
};
const dropped = () => {
  if (document.hidden) return;
  lost = true;
  say("lost", "connection lost, trying again");
};
document.addEventListener("htmx:sse:after:connection", () => {
  say("live", lost ? "live again" : "live");
  lost = false;
});
document.addEventListener("htmx:sse:error", dropped);
document.addEventListener("htmx:sse:before:connection", (event) => {
  if (event.detail.connection?.attempt > 0) dropped();
});
document.addEventListener("visibilitychange", () => {
  if (stream.className && document.hidden) say("paused", "paused");
});

// ---- sliders tell where they stand
document.addEventListener(
  "slide",
  (event) => event.target.setAttribute?.("aria-valuenow", String(Math.round(event.target.value))),
  true,
);

// ---- copying
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const from = document.querySelector(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    // without HTTPS a browser lends no clipboard: the text is selected, to be copied by hand
    getSelection().selectAllChildren(from);
    button.textContent = "Selected: copy it";
  }
  setTimeout(() => (button.textContent = label), 2000);
});
