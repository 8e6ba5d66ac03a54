// @ts-check
// What the console's pages do beyond plain HTML: they change by themselves while somebody looks, show times of the reader's own zone, search
// while one types, and take pictures by dropping, pasting and from a camera. Without this script every page can still be read and sent.

const words = document.body.dataset;
document.documentElement.classList.add("js");

// Times. The server writes them in its own zone.
const FORMS = {
  /** @type {Intl.DateTimeFormatOptions} */
  full: { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" },
  /** @type {Intl.DateTimeFormatOptions} */
  short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  /** @type {Intl.DateTimeFormatOptions} */
  today: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
};
const language = document.documentElement.lang;

/** @param {ParentNode} root */
function showTimes(root) {
  const today = new Date().toDateString();
  for (const one of root.querySelectorAll("time[data-form]")) {
    const at = new Date(/** @type {HTMLTimeElement} */ (one).dateTime);
    const isToday = at.toDateString() === today;
    const form =
      /** @type {HTMLElement} */ (one).dataset.form === "full" ? "full" : isToday ? "today" : "short";
    one.textContent = new Intl.DateTimeFormat(language, FORMS[form]).format(at);
    one.setAttribute("title", new Intl.DateTimeFormat(language, FORMS.full).format(at));
  }
}

/** How long something has gone on, in seconds; the server writes longer ones. */
function countOn() {
  for (const one of document.querySelectorAll("[data-since]")) {
    const seconds = Math.floor((Date.now() - Number(/** @type {HTMLElement} */ (one).dataset.since)) / 1000);
    if (seconds >= 0 && seconds < 60) one.textContent = language === "ja" ? `${seconds} 秒` : `${seconds} s`;
  }
}

// Changes. `morph` makes one tree like another and keeps what is the same, so that focus, selection and open details stay.
/** @param {Node} node */
const keyOf = (node) => (node instanceof Element ? ((node.id || node.getAttribute("data-key")) ?? "") : "");
/** @param {Node} one @param {Node} other */
const areAlike = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

/** @param {Node} old @param {Node} fresh */
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (!(old instanceof Element) || !(fresh instanceof Element)) return;
  const isTime = old.nodeName === "TIME" && old.getAttribute("datetime") === fresh.getAttribute("datetime");
  if (isTime) return;
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS"))
      old.removeAttribute(name);
  morphChildren(old, fresh);
}

/** @param {Element} old @param {Element} fresh */
function morphChildren(old, fresh) {
  /** @type {Map<string, ChildNode>} */
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child) !== "") keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    const found = key === "" ? at && areAlike(at, wanted) && at : keyed.get(key);
    if (!found) {
      const added = document.importNode(wanted, true);
      if (key !== "" && added instanceof Element && added.nodeName === "TR") added.classList.add("is-new");
      old.insertBefore(added, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else old.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const live = document.getElementById("live");
const pulse = document.getElementById("pulse");
/** @type {EventSource | undefined} */
let source;

/** @param {"on" | "lost" | "paused"} is @param {string | undefined} text */
function showPulse(is, text) {
  if (!pulse) return;
  pulse.className = `pulse ${is}`;
  if (pulse.textContent !== text) pulse.textContent = text ?? "";
}

function listen() {
  source?.close();
  source = undefined;
  if (!live) return;
  if (document.hidden) return showPulse("paused", words.paused);
  source = new EventSource(location.href);
  source.addEventListener("open", () => showPulse("on", words.live));
  source.addEventListener("error", () => showPulse("lost", words.lost));
  source.addEventListener("live", (event) => {
    const fresh = new DOMParser().parseFromString(event.data, "text/html").body;
    morphChildren(live, fresh);
    showTimes(live);
    live.dispatchEvent(new CustomEvent("changed"));
  });
}

// The search of a list: the address changes with every key, and the list follows it.
function searchAsOneTypes() {
  const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-search]"));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  form?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(form)) if (value !== "") query.set(name, String(value));
      history.replaceState(null, "", `${location.pathname}?${query}`);
      for (const link of document.querySelectorAll("a[data-filter]")) keepSearch(link, query);
      listen();
    }, 250);
  });
}

/** @param {Element} link @param {URLSearchParams} query */
function keepSearch(link, query) {
  const to = new URL(/** @type {HTMLAnchorElement} */ (link).href);
  for (const name of ["text", "kind", "tenant", "within"]) {
    const value = query.get(name);
    if (value) to.searchParams.set(name, value);
    else to.searchParams.delete(name);
  }
  /** @type {HTMLAnchorElement} */ (link).href = to.href;
}

// Pictures.
/** @param {HTMLElement} drop */
function takePictures(drop) {
  const file = /** @type {HTMLInputElement} */ (drop.querySelector("input[type=file]:not([capture])"));
  const camera = /** @type {HTMLInputElement | null} */ (drop.querySelector("input[capture]"));
  const shown = /** @type {HTMLImageElement} */ (drop.querySelector("img"));
  const name = drop.querySelector("[data-name]");
  /** @param {File | undefined | null} picture */
  const take = (picture) => {
    if (!picture?.type.startsWith("image/")) return false;
    const list = new DataTransfer();
    list.items.add(picture);
    file.files = list.files;
    if (camera) camera.value = "";
    if (shown.src.startsWith("blob:")) URL.revokeObjectURL(shown.src);
    shown.src = URL.createObjectURL(picture);
    shown.hidden = false;
    if (name) name.textContent = `${picture.name} · ${(picture.size / 1e6).toFixed(1)} MB`;
    return true;
  };
  file.addEventListener("change", () => take(file.files?.[0]));
  camera?.addEventListener("change", () => take(camera.files?.[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer?.files[0]);
  });
  return take;
}

const takers = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".drop"))].map(
  takePictures,
);
document.addEventListener("paste", (event) => {
  const picture = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (picture && takers[0]?.(picture)) event.preventDefault();
});

// Small things.
document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  await navigator.clipboard.writeText(button.dataset.copy ?? "").catch(() => {});
  const before = button.textContent;
  button.textContent = words.copied ?? "";
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
});
document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.method !== "post") return;
  // A second click would send it twice. After this turn, so that the button's own value is still sent.
  setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey) return;
  const search = /** @type {HTMLElement | null} */ (document.querySelector("input[type=search]"));
  if (search) {
    event.preventDefault();
    search.focus();
  }
});
document.querySelector(".wrong-summary")?.scrollIntoView({ block: "center" });
/** @type {HTMLElement | null} */ (document.querySelector(".wrong-summary"))?.focus();

document.addEventListener("visibilitychange", listen);
showTimes(document);
setInterval(() => {
  if (!document.hidden) countOn();
}, 1000);
searchAsOneTypes();
listen();
