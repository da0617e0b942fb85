// Everything works without this file. It adds copying, local times, sentences while one types,
// typed confirmation, the hand-over without a click, and hashing before a key is sent.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);

function localTimes() {
  const language = document.documentElement.lang;
  const locale = navigator.language.startsWith(language) ? navigator.language : language;
  const long = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  const short = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
  for (const element of all("time[datetime*=T]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const local = long.format(moment);
    if ("relative" in element.dataset) {
      element.title = `${local} (${element.title})`;
    } else {
      element.title = `${local} (${element.title})`;
      element.textContent = "day" in element.dataset ? short.format(moment) : local;
    }
  }
  const note = one("[data-local]");
  if (note) note.textContent = note.dataset.local;
}

// Says "copied" only after it was copied. Else the text is selected, and the page says so.
async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  const state = document.getElementById(`${button.dataset.copies}-state`);
  let copied = false;
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    copied = true;
  } catch {
    source.focus();
    getSelection().selectAllChildren(source);
  }
  state.classList.toggle("failed", !copied);
  state.textContent = copied ? button.dataset.copied : button.dataset.failed;
}

function copying() {
  for (const button of all("[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

// Not while the page is hidden or prerendered: nobody has come yet.
function handOver() {
  const form = one("form[data-submit]");
  if (!form) return;
  const submit = () => {
    if (document.visibilityState !== "visible" || document.prerendering) return;
    if ("sent" in form.dataset) return;
    form.dataset.sent = "";
    form.requestSubmit();
  };
  submit();
  document.addEventListener("visibilitychange", submit);
  document.addEventListener("prerenderingchange", submit);
}

// The server compares the name too.
function confirmation() {
  const input = one("[data-confirm]");
  if (!input) return;
  const button = one("[data-needs-confirm]", input.form);
  const compare = () => {
    button.disabled = input.value.trim() !== input.dataset.confirm.trim();
  };
  input.addEventListener("input", compare);
  addEventListener("pageshow", compare);
  compare();
}

// The same sentences as the server's: see `KeyForm::sentences`.
function sentencesOf(form, texts) {
  const values = (name) => all(`[name=${name}]:checked`, form).map((input) => input.value);
  const lines = (name) =>
    (form.elements[name]?.value ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  const said = [texts.name.replaceAll("{name}", () => form.elements.name.value.trim())];
  const say = (text, mark, list) => {
    if (list.length > 0) said.push(text.replaceAll(mark, () => list.join(", ")));
  };
  const full = form.elements.full_access;
  const hasFull = full ? full.checked : "alwaysFull" in texts;
  const scopes = values("scope");
  const expiry = one("[name=expiry]:checked", form);
  const day = expiry?.value === "date" ? form.elements.expiry_date.value : expiry?.dataset.day;
  say(texts.environment, "{environment}", values("environment"));
  say(texts.apis, "{apis}", values("api"));
  if (hasFull) said.push(texts.full);
  else if (scopes.length === 0) said.push(texts.none);
  else say(texts.scopes, "{scopes}", scopes);
  if (expiry?.value === "never") said.push(texts.never);
  else say(texts.expires, "{day}", day ? [day] : []);
  say(texts.addresses, "{addresses}", lines("allow_ips"));
  say(texts.referrers, "{referrers}", lines("allow_referrers"));
  say(texts.endpoints, "{endpoints}", lines("allow_endpoints"));
  say(texts.limit, "{limit}", lines("rate_limit"));
  return said.join(" ");
}

// Shows what is asked for at once, so that no second page has to.
function sentences() {
  const form = one("form[data-sentences]");
  if (!form) return;
  const place = one(".sentences", form);
  const button = one("[data-label]", form);
  form.elements.review.remove();
  button.textContent = button.dataset.label;
  const show = () => {
    place.hidden = form.elements.name.value.trim() === "";
    place.textContent = sentencesOf(form, place.dataset);
  };
  form.addEventListener("input", show);
  addEventListener("pageshow", show);
  show();
}

// A date that is typed is meant; full access leaves no scope to choose.
function linkedFields() {
  const date = document.getElementById("expiry_date");
  const radio = one("[name=expiry][value=date]");
  if (date && radio) {
    date.addEventListener("input", () => { radio.checked = true; });
  }
  const full = one("[data-full-access]");
  if (!full) return;
  const follow = () => {
    for (const scope of all("[name=scope]")) scope.disabled = full.checked;
  };
  full.addEventListener("change", follow);
  addEventListener("pageshow", follow);
  follow();
}

async function digest(text) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The key does not leave the browser: its field has no name, and is emptied.
function hashing() {
  const form = one("form[data-find]");
  if (!form || !globalThis.crypto?.subtle) return;
  const field = one("#pasted", form);
  const hint = one("#pasted-hint", form);
  hint.textContent = hint.dataset.script;
  field.removeAttribute("name");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = field.value.trim().replace(/^Bearer\s+/i, "");
    const hashed = document.createElement("input");
    hashed.type = "hidden";
    hashed.name = "sha256";
    if (key !== "") hashed.value = /^[0-9a-f]{64}$/i.test(key) ? key.toLowerCase() : await digest(key);
    form.append(hashed);
    field.value = "";
    form.submit();
  });
  addEventListener("pageshow", () => {
    field.value = "";
    one("[name=sha256]", form)?.remove();
  });
}

// A form is sent once, however often its button is pressed.
function onlyOnce() {
  for (const form of all("form[method=post]:not([data-find])")) {
    form.addEventListener("submit", (event) => {
      if ("busy" in form.dataset) event.preventDefault();
      form.dataset.busy = "";
    });
  }
  addEventListener("pageshow", () => {
    for (const form of all("form[data-busy]")) delete form.dataset.busy;
  });
}

localTimes();
copying();
handOver();
confirmation();
linkedFields();
sentences();
hashing();
onlyOnce();
one("[data-errors]")?.focus();
