// Sending a job from a form: which kind, its fields, and how it is to run. The form works without a script; what was written stays when
// something is wrong.
import { html } from "hono/html";
import { heading } from "./layout.ts";
import { type Filled, fieldsOf } from "./schema-form.ts";
import { empty, errorNote, line, type ShownError } from "./show.ts";
import { type Html, NONE, type Shown, type View, withQuery } from "./view.ts";

export type Kind = { kind: string; summary: string; input: object };

export const EMPTY_FORM: Filled = { texts: new Map(), wrong: new Map() };

export function kindsPage(view: View, kinds: readonly Kind[]): Shown {
  const { t } = view;
  return {
    title: t("nav_submit"),
    before: html`${heading(t("submit_title"), NONE, html`<p class="soft">${t("submit_choose")}</p>`)}${
      kinds.length === 0
        ? html`<div class="panel">${empty(t("no_kinds"), t("no_kinds_hint"))}</div>`
        : html`<ul class="kinds">${kinds.map(
            ({ kind, summary }) =>
              html`<li><a class="panel" href="${kindAddress(kind)}"><h2>${line(kind, 80)}</h2><p class="soft">${line(summary, 300)}</p></a></li>`,
          )}</ul>`
    }`,
  };
}

export const kindAddress = (kind: string): string => `/console/submit/${encodeURIComponent(kind)}`;

export type SubmitForm = {
  kind: Kind;
  filled: Filled;
  /** What is wrong with the whole. */
  error?: ShownError | undefined;
  /** What stands in the JSON view. */
  json: string;
  models: readonly string[];
};

export function submitPage(view: View, form: SubmitForm): Shown {
  const { t, mayChange, query } = view;
  const { kind, filled, error } = form;
  const isJson = query.get("as") === "json";
  const other = html`<a class="button" href="${withQuery(view, { as: isJson ? null : "json" })}">${t(isJson ? "as_form" : "as_json_view")}</a>`;
  const wrong = [...filled.wrong];
  const summary =
    wrong.length === 0
      ? NONE
      : html`<div class="note bad wrong-summary" role="alert" tabindex="-1"><p><b>${t("form_wrong")}</b></p><ul>${wrong.map(([path, words]) => html`<li><a href="#${path}">${line(path.replace(/^input\./, ""), 100)}</a>: ${line(words, 300)}</li>`)}</ul></div>`;
  const said = error === undefined ? NONE : html`<div role="alert">${errorNote(view, error)}</div>`;
  return {
    title: line(kind.kind, 80),
    status: error === undefined && wrong.length === 0 ? 200 : 422,
    before: html`${heading(line(kind.kind, 80), other, html`<p class="soft">${line(kind.summary, 300)}</p>`)}
${mayChange ? NONE : html`<p class="note warn">${t("read_only")}</p>`}${summary}${said}
<form class="panel form" method="post" enctype="multipart/form-data" action="${withQuery(view, {})}">${isJson ? jsonField(view, form) : fieldsOf(view, kind.input, filled)}${options(view, form)}<div class="actions"><button class="primary"${mayChange ? "" : html` disabled`}>${t("send_job")}</button><a class="button" href="/console/submit">${t("other_kind")}</a></div></form>`,
  };
}

function jsonField({ t }: View, { json, filled, kind }: SubmitForm): Html {
  const wrong = filled.wrong.get("json");
  return html`<div class="field"><label for="json">${t("input")} (JSON)</label><textarea class="mono" id="json" name="json" rows="12" spellcheck="false"${wrong ? html` aria-invalid="true" aria-describedby="json-wrong"` : ""}>${json}</textarea>${wrong ? html`<p class="wrong" id="json-wrong">${line(wrong)}</p>` : NONE}</div><details><summary>${t("schema")}</summary><pre class="code" tabindex="0">${JSON.stringify(kind.input, null, 2)}</pre></details>`;
}

/** How the job is to run; all of it may be left as it is. */
function options({ t }: View, { filled, models }: SubmitForm): Html {
  const field = (name: string, label: string, help: string, input: (attributes: Html) => Html) => {
    const path = `policy.${name}`;
    const wrong = filled.wrong.get(path);
    const attributes = html` id="${path}" name="${path}" value="${filled.texts.get(path) ?? ""}" aria-describedby="${path}-help"`;
    return html`<div class="field"><label for="${path}">${label} <span class="must">${t("optional")}</span></label><p class="help" id="${path}-help">${help}</p>${input(attributes)}${wrong ? html`<p class="wrong">${line(wrong)}</p>` : NONE}</div>`;
  };
  const isOpen = [...filled.texts].some(([name, text]) => name.startsWith("policy.") && text !== "");
  return html`<details${isOpen ? html` open` : ""}><summary>${t("more_options")}</summary><div class="form grid two">${[
    field(
      "model",
      t("model"),
      t("option_model"),
      (attributes) =>
        html`<input type="text"${attributes} list="models" autocomplete="off"><datalist id="models">${models.map((one) => html`<option value="${one}"></option>`)}</datalist>`,
    ),
    field(
      "priority",
      t("priority"),
      t("option_priority"),
      (attributes) => html`<input type="number" step="1"${attributes}>`,
    ),
    field(
      "timeoutSeconds",
      t("time_limit"),
      t("option_timeout"),
      (attributes) => html`<input type="number" step="1" min="1"${attributes}>`,
    ),
    field(
      "callback",
      t("callback"),
      t("option_callback"),
      (attributes) => html`<input type="url"${attributes} placeholder="https://…">`,
    ),
  ]}</div></details>`;
}
