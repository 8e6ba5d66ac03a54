// What the page does: reads the list, shows it, and reads it again when the service says that something changed. Text from outside becomes
// text and never HTML; the words of the page are in its templates.

const find = (selector, within = document) => within.querySelector(selector);
const clone = (id) => find(`#${id}`).content.cloneNode(true);
const words = (id) => find(`#${id}`).content.textContent;

function fill(fragment, texts) {
  for (const slot of fragment.querySelectorAll("[data-slot]")) {
    const text = texts[slot.dataset.slot] ?? "";
    slot.textContent = text;
    slot.hidden = text === "";
  }
  return fragment;
}

// Calls

/** The answer's JSON. Throws an Error whose message is for the reader. */
async function call(method, path, body, headers = {}) {
  const request = { method, headers: { "content-type": "application/json", ...headers } };
  if (body !== undefined) request.body = JSON.stringify(body);
  const response = await fetch(path, request).catch(() => {
    throw new Error(words("unreachable"));
  });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw Object.assign(new Error(problemText(answer.error ?? {}) || `HTTP ${response.status}`), {
    status: response.status,
  });
}

const problemText = ({ message = "", hint = "" }) => `${message} ${hint}`.trim();

function show(element, text) {
  element.textContent = text;
  element.hidden = text === "";
}

/** Runs what a form or a button does once at a time, and shows what went wrong. */
async function act(element, problem, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  show(problem, "");
  try {
    await work();
  } catch (error) {
    show(problem, error.message);
  } finally {
    element.removeAttribute("aria-busy");
  }
}

function onSubmit(form, work) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(form, find(".problem", form), () => work(Object.fromEntries(new FormData(form))));
  });
}

// The list

const MAX = 500;
const DONE_SHOWN = 100;
let open = [];
let done = [];
/** When each todo was changed last, to show which ones changed since. */
let seen = null;

async function loadTodos() {
  [open, done] = await Promise.all([
    call("GET", `/todos?status=open&limit=${MAX}`),
    call("GET", `/todos?status=done&limit=${DONE_SHOWN}`),
  ]);
  showTodos();
}

const byCategory = (todos) => {
  const collator = new Intl.Collator(document.documentElement.lang);
  const groups = Map.groupBy(todos, ({ category }) => category ?? "");
  return [...groups].sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : collator.compare(a, b)));
};

function showTodos() {
  const focused = document.activeElement?.dataset?.key;
  const groups = byCategory(open).map(([category, todos]) => {
    const group = clone("group");
    find("h2", group).textContent = category || words("no-category");
    find("ul", group).append(...todos.map(itemOf));
    return group;
  });
  find("#open").replaceChildren(...groups);
  find("#done ul").replaceChildren(...done.toReversed().map(itemOf));
  find("#done-count").textContent = done.length < DONE_SHOWN ? done.length : `${DONE_SHOWN}+`;
  find("#done").hidden = done.length === 0;
  find("#empty").hidden = open.length > 0;
  find("#more").hidden = open.length < MAX;
  const categories = [...new Set([...open, ...done].flatMap(({ category }) => category ?? []))];
  find("#categories").replaceChildren(...categories.map((value) => new Option(value, value)));
  seen = new Map([...open, ...done].map(({ id, updatedAt }) => [id, updatedAt]));
  if (focused) focusOn(focused);
}

/** What had the focus was made anew; a todo that was just ticked off may be where nobody sees it. */
function focusOn(key) {
  const again = find(`[data-key="${CSS.escape(key)}"]`);
  if (again?.checkVisibility()) again.focus();
  else find("#open").focus({ preventScroll: true });
}

function itemOf(todo) {
  const item = fill(clone("todo"), { title: todo.title, note: todo.notes.at(-1)?.text });
  const [li, check, title] = [find("li", item), find("input", item), find("button", item)];
  li.classList.toggle("changed", seen !== null && seen.get(todo.id) !== todo.updatedAt);
  li.dataset.id = todo.id;
  check.dataset.key = `check-${todo.id}`;
  title.dataset.key = `title-${todo.id}`;
  check.checked = todo.status === "done";
  check.addEventListener("change", () => tick(todo, check));
  title.addEventListener("click", () => openEdit(todo));
  return item;
}

function tick(todo, check) {
  const status = check.checked ? "done" : "open";
  act(check, find("#list-problem"), async () => {
    try {
      await call("PATCH", `/todos/${todo.id}`, { status });
    } catch (error) {
      check.checked = !check.checked;
      throw error.status === 404 ? new Error(words("gone")) : error;
    }
  });
}

/** A form that is sent again after an answer that got lost adds nothing twice. */
let addKey = crypto.randomUUID();

onSubmit(find("#add"), async ({ title, category }) => {
  await addTodo({ title, ...(category.trim() && { category }) });
  find("#add").reset();
  find("#add [name=title]").focus();
});
find("#add").addEventListener("input", () => (addKey = crypto.randomUUID()));

async function addTodo(todo) {
  await call("POST", "/todos", todo, { "idempotency-key": addKey });
  addKey = crypto.randomUUID();
}

// One todo

const edit = find("#edit");
const editForm = find("form", edit);
const removeButton = find("[data-act=remove]", edit);
const removeWord = removeButton.textContent;
let edited = null;

function openEdit(todo) {
  edited = todo;
  editForm.reset();
  show(find(".problem", edit), "");
  removeButton.textContent = removeWord;
  editForm.elements.title.value = todo.title;
  editForm.elements.category.value = todo.category ?? "";
  find("#edit-notes").hidden = todo.notes.length === 0;
  find("#edit-notes ul").replaceChildren(...todo.notes.map(noteOf));
  edit.showModal();
}

function noteOf({ text, at }) {
  const note = fill(clone("written"), { text });
  const time = find("time", note);
  time.dateTime = at;
  time.textContent = new Date(at).toLocaleString(document.documentElement.lang, {
    dateStyle: "medium",
    timeStyle: "short",
  });
  return note;
}

/** Only what was changed here is sent, so that nothing is lost of what was changed elsewhere meanwhile. */
function changesIn({ title, category, note }) {
  return {
    ...(title.trim() !== edited.title && { title }),
    ...(category.trim() !== (edited.category ?? "") && { category: category.trim() || null }),
    ...(note.trim() && { note }),
  };
}

onSubmit(editForm, async (fields) => {
  const change = changesIn(fields);
  if (Object.keys(change).length > 0) await changeEdited("PATCH", change);
  edit.close();
});

async function changeEdited(method, body) {
  await call(method, `/todos/${edited.id}`, body).catch((error) => {
    throw error.status === 404 ? new Error(words("gone")) : error;
  });
}

find("[data-act=cancel]", edit).addEventListener("click", () => edit.close());
removeButton.addEventListener("click", () => {
  if (removeButton.textContent === removeWord) {
    removeButton.textContent = removeButton.dataset.again;
    return;
  }
  act(removeButton, find(".problem", edit), async () => {
    await changeEdited("DELETE");
    edit.close();
  });
});
edit.addEventListener("close", () => {
  if (edited) focusOn(`title-${edited.id}`);
  edited = null;
});

// Sentences

const sayForm = find("#say");

if (sayForm)
  onSubmit(sayForm, async ({ text }) => {
    show(find("#no-kamado"), "");
    await call("POST", "/sentences", { text });
    sayForm.reset();
  });

async function loadSentences() {
  if (!sayForm) return;
  const { sentences, problem } = await call("GET", "/sentences");
  find("#sentences").replaceChildren(...sentences.slice(0, 5).map(sentenceOf));
  const isSaid = !find(".problem", sayForm).hidden;
  show(find("#no-kamado"), problem && !isSaid ? problemText(problem) : "");
}

function sentenceOf({ id, text, state, title, error }) {
  const sentence = fill(clone(`sentence-${state}`), { text, title, error: error && problemText(error) });
  const problem = find("#list-problem");
  find("[data-act=dismiss]", sentence)?.addEventListener("click", ({ target }) =>
    act(target, problem, () => call("DELETE", `/sentences/${id}`)),
  );
  find("[data-act=add]", sentence)?.addEventListener("click", ({ target }) =>
    act(target, problem, async () => {
      await call("POST", "/todos", { title: text.slice(0, 500) }, { "idempotency-key": `add-${id}` });
      await call("DELETE", `/sentences/${id}`);
    }),
  );
  return sentence;
}

// Changes

let isLoading = false;
let isStale = false;

/** One reading at a time; what changes meanwhile is read after it. */
async function load() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  while (isStale) {
    isStale = false;
    await Promise.all([loadTodos(), loadSentences()]).then(
      () => show(find("#list-problem"), ""),
      (error) => show(find("#list-problem"), error.message),
    );
  }
  isLoading = false;
}

const AGAIN_MS = 3_000;
let events = null;

/** The service says "changed" at the beginning too, so what changed while nobody listened is read. */
function listen() {
  if (events || document.hidden) return;
  events = new EventSource("/changes");
  events.addEventListener("changed", load);
  events.addEventListener("open", () => (find("#connection").hidden = true));
  events.addEventListener("error", () => {
    find("#connection").hidden = false;
    if (events?.readyState !== EventSource.CLOSED) return;
    stopListening();
    setTimeout(listen, AGAIN_MS);
  });
}

function stopListening() {
  events?.close();
  events = null;
}

// A browser keeps only a few connections to one service, and a page that nobody sees needs none.
document.addEventListener("visibilitychange", () => (document.hidden ? stopListening() : listen()));
listen();
