// Talking to the model directly. With a script the answer comes as it is written; without one, whole.
import { html } from "hono/html";
import { heading } from "./layout.ts";
import { errorNote, line, lines, type ShownError } from "./show.ts";
import { NONE, type Shown, type View } from "./view.ts";

export type Said = { question: string; answer?: string; error?: ShownError };

export function chatPage(
  view: View,
  { models, model, said }: { models: readonly string[]; model: string; said?: Said },
): Shown {
  const { t, mayChange } = view;
  const choose =
    models.length > 1
      ? html`<label><span class="sr">${t("model")}</span><select name="model" form="composer">${models.map((one) => html`<option value="${one}">${line(one, 80)}</option>`)}</select></label>`
      : html`<span class="soft small">${line(model, 100)}</span>`;
  return {
    title: t("nav_chat"),
    script: "chat",
    before: html`${heading(t("nav_chat"), choose, html`<p class="soft">${t("chat_words")}</p>`)}
${mayChange ? NONE : html`<p class="note warn">${t("read_only")}</p>`}
<div class="chat" id="log" role="log" aria-label="${t("nav_chat")}">${
      said === undefined
        ? html`<div class="empty" id="chat-empty"><p class="empty-title">${t("chat_empty")}</p><p>${t("chat_empty_hint")}</p></div>`
        : html`<div class="said me">${lines(said.question)}</div>${said.answer === undefined ? NONE : html`<div class="said it">${lines(said.answer)}</div>`}${said.error ? errorNote(view, said.error) : NONE}`
    }</div>
<p class="soft small" id="chat-state" role="status"></p>
<form class="composer" id="composer" method="post" action="/console/chat" data-sent="${t("chat_sent")}" data-waiting="${t("chat_waiting", {})}" data-writing="${t("chat_writing")}" data-stopped="${t("chat_stopped")}"><label><span class="sr">${t("chat_say")}</span><textarea name="message" rows="1" required placeholder="${t("chat_say")}"></textarea></label><div class="actions"><button class="primary"${mayChange ? "" : html` disabled`}>${t("send")}</button><button type="button" id="stop" hidden>${t("stop")}</button></div></form>`,
  };
}
