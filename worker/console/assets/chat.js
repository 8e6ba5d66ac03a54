// @ts-check
// The chat: sends what was written and shows the answer while it comes. It says when it waits for a slot, and can be stopped.

const form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
const field = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
const send = /** @type {HTMLButtonElement} */ (form.querySelector("button.primary"));
const stop = /** @type {HTMLButtonElement} */ (document.getElementById("stop"));
const log = /** @type {HTMLElement} */ (document.getElementById("log"));
const state = /** @type {HTMLElement} */ (document.getElementById("chat-state"));
const words = form.dataset;

/** @type {{ role: string, content: string }[]} */
const messages = [];
/** @type {AbortController | undefined} */
let running;

/** @param {string} whose @param {string} text */
function say(whose, text) {
  document.getElementById("chat-empty")?.remove();
  const said = document.createElement("div");
  said.className = `said ${whose}`;
  said.textContent = text;
  log.append(said);
  said.scrollIntoView({ block: "end" });
  return said;
}

/** @param {string} content */
async function ask(content) {
  messages.push({ role: "user", content });
  say("me", content);
  running = new AbortController();
  send.hidden = true;
  stop.hidden = false;
  state.textContent = words.sent ?? "";
  const answer = { text: "", /** @type {HTMLElement | undefined} */ shown: undefined };
  try {
    const response = await fetch("/console/chat", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/x-ndjson" },
      body: JSON.stringify({ messages, model: form.elements.namedItem("model")?.value || undefined }),
      signal: running.signal,
    });
    if (!response.ok || !response.body) throw new Error(await whyNot(response));
    for await (const part of partsOf(response.body)) show(part, answer);
  } catch (thrown) {
    const isStopped = thrown instanceof Error && thrown.name === "AbortError";
    state.textContent = isStopped
      ? (words.stopped ?? "")
      : String(thrown instanceof Error ? thrown.message : thrown);
  }
  if (answer.text !== "") messages.push({ role: "assistant", content: answer.text });
  else messages.pop();
  running = undefined;
  send.hidden = false;
  stop.hidden = true;
  field.focus();
}

/** @param {Response} response */
async function whyNot(response) {
  const body = await response.json().catch(() => undefined);
  return body?.error?.message ?? `${response.status}`;
}

/** @param {any} part @param {{ text: string, shown: HTMLElement | undefined }} answer */
function show(part, answer) {
  if (part.waiting !== undefined)
    state.textContent =
      part.waiting > 0 ? (words.waiting ?? "").replace("{n}", part.waiting) : (words.sent ?? "");
  if (part.text !== undefined) {
    answer.text += part.text;
    answer.shown ??= say("it", "");
    answer.shown.textContent = answer.text;
    state.textContent = words.writing ?? "";
  }
  if (part.done !== undefined) state.textContent = part.done;
  if (part.error !== undefined) throw new Error(`${part.error.message} ${part.error.hint ?? ""}`);
}

/** One JSON value a line. @param {ReadableStream<Uint8Array>} body */
async function* partsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield JSON.parse(line);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  event.stopPropagation();
  const content = field.value.trim();
  if (content === "" || running) return;
  field.value = "";
  void ask(content);
});
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
stop.addEventListener("click", () => running?.abort());
