// What is sent of trouble, and in whose form.
import { expect, test } from "vitest";
import type { Note } from "../../worker/trouble/episodes.ts";
import { attributesOf, formatOf, messageOf, webhookOf } from "../../worker/trouble/messages.ts";

const AT = Date.UTC(2026, 10, 29, 14);
const NOTE: Note = {
  is: "begun",
  condition: {
    name: "queue",
    title: "The queue does not answer",
    message: "https://sqs/<kamado>: network.",
    hint: "Check the network & AWS_ENDPOINT_URL.",
  },
  since: AT,
  at: AT + 30_000,
};
const OVER: Note = {
  ...NOTE,
  is: "over",
  at: AT + 720_000,
  condition: { ...NOTE.condition, message: "It is over.", hint: "" },
};

test.each([
  ["https://ntfy.sh/kamado", "ntfy"],
  ["http://ntfy.home/kamado", "ntfy"],
  ["https://hooks.slack.com/services/T0/B0/x", "slack"],
  ["https://chat.example.org/hooks/abc", "slack"],
  ["https://discord.com/api/webhooks/1/x/slack", "slack"],
  ["https://example.org/trouble", "json"],
])("%s gets %s", (url, format) => {
  expect(formatOf(url)).toBe(format);
});

test("ntfy: a short title, the text, and a priority that a phone rings for", () => {
  const { body, headers } = webhookOf(NOTE, "ntfy", "暖炉");
  expect(headers).toMatchObject({
    title: "Kamado: The queue does not answer",
    priority: "high",
    tags: "warning",
  });
  expect(body).toBe(
    "暖炉: https://sqs/<kamado>: network.\nCheck the network & AWS_ENDPOINT_URL.\nSince 2026-11-29T14:00:00.000Z.",
  );
  expect(webhookOf(OVER, "ntfy", "mac")).toEqual({
    body: "mac: It lasted 12 min 0 s.\nSince 2026-11-29T14:00:00.000Z.",
    headers: expect.objectContaining({
      title: "Kamado: over: The queue does not answer",
      priority: "default",
    }),
  });
});

test("Slack: one text, in which nothing is read as a link or a mention", () => {
  const { body, headers } = webhookOf(NOTE, "slack", "mac");
  expect(headers).toEqual({ "content-type": "application/json" });
  expect(JSON.parse(body)).toEqual({
    text: "*Kamado: The queue does not answer*\nmac: https://sqs/&lt;kamado&gt;: network.\nCheck the network &amp; AWS_ENDPOINT_URL.\nSince 2026-11-29T14:00:00.000Z.",
  });
});

test("JSON: the message of the topic, and the text beside it", () => {
  expect(JSON.parse(webhookOf(NOTE, "json", "mac").body)).toEqual({
    ...messageOf(NOTE, "mac"),
    text: expect.stringContaining("Kamado: The queue does not answer\nmac: "),
  });
});

test("subscribers of the topic can tell it from a result by its attributes and its type", () => {
  expect(attributesOf(NOTE)).toEqual({ kind: "kamado.trouble", status: "begun", condition: "queue" });
  expect(messageOf(NOTE, "mac")).toEqual({
    type: "kamado.trouble",
    id: expect.stringMatching(/^trouble_[0-9a-f]{24}$/),
    condition: "queue",
    status: "begun",
    title: "The queue does not answer",
    message: "https://sqs/<kamado>: network.",
    hint: "Check the network & AWS_ENDPOINT_URL.",
    since: "2026-11-29T14:00:00.000Z",
    at: "2026-11-29T14:00:30.000Z",
    worker: "mac",
  });
  expect(messageOf(NOTE, "mac").id).not.toBe(messageOf(OVER, "mac").id);
});
