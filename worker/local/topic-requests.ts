// Requests for topics that the emulator reads otherwise than SNS does: a message that differs by protocol would arrive as the list of
// all of them, and an entry of a batch that lacks something would be in neither list of the answer. Subscriptions that it does not
// serve are left to unknown-requests.ts.
import { type AwsError, isForm, sendError } from "./error-answers.ts";
import type { Fauxqs } from "./fauxqs.ts";

type Form = Record<string, string | undefined>;

export function readAsSns({ app }: Fauxqs): void {
  app.addHook("preHandler", async (request, reply) => {
    if (request.url !== "/" || request.method !== "POST" || !isForm(request)) return undefined;
    const form = request.body as Form;
    const error = mend(form);
    return error ? sendError(request, reply, error) : undefined;
  });
}

function mend(form: Form): AwsError | null {
  if (form.Action === "Publish") {
    // A topic is one of the things that a message may be sent to.
    form.TopicArn ??= form.TargetArn;
    return mendMessage(form, "");
  }
  if (form.Action !== "PublishBatch") return null;
  for (const entry of entriesOf(form)) {
    if (!form[`${entry}Id`] || !form[`${entry}Message`])
      return invalid("Every entry of the batch needs an Id and a Message");
    const error = mendMessage(form, entry);
    if (error) return error;
  }
  return null;
}

/** What the names of an entry's fields begin with, for each entry. */
const entriesOf = (form: Form) =>
  new Set(Object.keys(form).flatMap((name) => /^PublishBatchRequestEntries\.member\.\d+\./.exec(name) ?? []));

/** `MessageStructure: json`: the message is a list of messages by protocol. Queues get theirs, or the default one. */
function mendMessage(form: Form, entry: string): AwsError | null {
  if (form[`${entry}MessageStructure`] !== "json") return null;
  const { default: all, sqs = all } = messagesIn(form[`${entry}Message`]);
  if (typeof all !== "string" || typeof sqs !== "string")
    return invalid("Message Structure - No default entry in JSON message body");
  form[`${entry}Message`] = sqs;
  return null;
}

function messagesIn(message = ""): Record<string, unknown> {
  try {
    return Object(JSON.parse(message));
  } catch {
    return {};
  }
}

const invalid = (why: string): AwsError => ({
  status: 400,
  code: "InvalidParameter",
  message: `Invalid parameter: ${why}.`,
});
