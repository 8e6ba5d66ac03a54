// What cannot be dealt with is put aside with its reason: messages into the jobs' dead-letter queue, deliveries into
// theirs. Nothing is dropped.
import type { KamadoError } from "../errors.ts";
import type { Destination, Job } from "../job/envelope.ts";
import type { Message, Queue } from "../queue/queue.ts";

export type DeadLetters = {
  /** Throws when it could not be put aside: then the message must stay where it is. */
  message(message: Message, error: KamadoError): Promise<void>;
  delivery(delivery: { job: Job; destination: Destination }, error: KamadoError): Promise<void>;
};

export function createDeadLetters(options: {
  messages: Queue;
  deliveries: Queue;
  worker: string;
  log(entry: object, text: string): void;
}): DeadLetters {
  const { messages, deliveries, worker, log } = options;
  const put = async (queue: Queue, body: string, error: KamadoError, about: object, group: string | null) => {
    const attributes = {
      "kamado-code": error.code,
      "kamado-reason": attributeText(error.message),
      "kamado-worker": worker,
    };
    await queue.send(body, { attributes, ...(group !== null && { group }) });
    log({ station: "dead-letter", error: error.code, ...about }, error.message);
  };
  return {
    message: (message, error) => put(messages, message.body, error, { message: message.id }, message.group),
    delivery: ({ job, destination }, error) =>
      put(deliveries, JSON.stringify({ job, destination }), error, { job: job.id }, null),
  };
}

// SQS takes a narrow range of characters and refuses an empty value.
const attributeText = (text: string) =>
  text.replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD]/g, "?").slice(0, 1_024) || "unknown";
