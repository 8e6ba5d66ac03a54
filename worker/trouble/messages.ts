// What is sent of a condition: to the topic, and to a webhook in the form that its service reads. Sending is left to channels.ts. Pure.
import { createHash } from "node:crypto";
import { lengthWords } from "../amounts.ts";
import type { Config } from "../config/config.ts";
import type { Note } from "./episodes.ts";

/** The kind by which subscribers of the topic tell these messages from results. */
export const KIND = "kamado.trouble";

export type Format = Exclude<Config["trouble"]["format"], "auto">;

/** By the addresses of the services: a server of one's own may be anywhere, and then the format is set. */
export function formatOf(url: string): Format {
  const { hostname, pathname } = new URL(url);
  if (hostname === "ntfy.sh" || hostname.startsWith("ntfy.")) return "ntfy";
  // Mattermost and Rocket.Chat have /hooks/…; Discord takes Slack's form at …/slack.
  const isSlack = hostname === "hooks.slack.com" || /^\/hooks\/|\/slack$/.test(pathname);
  return isSlack ? "slack" : "json";
}

/** The same note has the same id in every try. */
export const idOf = ({ is, condition, since, at }: Note, worker: string): string =>
  `trouble_${createHash("sha256").update([worker, condition.name, is, since, at].join("\n")).digest("hex").slice(0, 24)}`;

const iso = (at: number) => new Date(at).toISOString();

/** As the topic gets it. */
export function messageOf(note: Note, worker: string) {
  const { is: status, condition, since, at } = note;
  const { name, title, message, hint } = condition;
  return {
    type: KIND,
    id: idOf(note, worker),
    condition: name,
    status,
    title,
    message,
    hint,
    since: iso(since),
    at: iso(at),
    worker,
  };
}

export const attributesOf = ({ is: status, condition }: Note): Record<string, string> => ({
  kind: KIND,
  status,
  condition: condition.name,
});

const titleOf = ({ is, condition }: Note) =>
  `Kamado: ${is === "over" ? `over: ${condition.title}` : condition.title}`;

function textOf({ is, condition, since, at }: Note, worker: string): string {
  const lasted = is === "over" ? `It lasted ${lengthWords(at - since)}.` : condition.message;
  return [`${worker}: ${lasted}`, condition.hint, `Since ${iso(since)}.`].filter(Boolean).join("\n");
}

/** ntfy makes a file of what is longer. Bytes of its body, with room. */
const LONGEST_TEXT = 3_000;

export function webhookOf(
  note: Note,
  format: Format,
  worker: string,
): { body: string; headers: Record<string, string> } {
  const [title, text] = [titleOf(note), textOf(note, worker).slice(0, LONGEST_TEXT)];
  const isOver = note.is === "over";
  if (format === "ntfy")
    return {
      body: text,
      headers: {
        "content-type": "text/plain; charset=utf-8",
        title,
        priority: isOver ? "default" : "high",
        tags: isOver ? "white_check_mark" : "warning",
      },
    };
  const json = { "content-type": "application/json" };
  if (format === "slack")
    return { body: JSON.stringify({ text: escaped(`*${title}*\n${text}`) }), headers: json };
  return { body: JSON.stringify({ ...messageOf(note, worker), text: `${title}\n${text}` }), headers: json };
}

/** Slack reads links and mentions between < and >. */
const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
