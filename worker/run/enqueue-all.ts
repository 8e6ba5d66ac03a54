// Jobs that came together in one message, sent on as messages of their own. In a FIFO queue they keep the group of the
// message they came in; a second try after a failure sends none twice.
import type { Job } from "../job/envelope.ts";
import type { Queue } from "../queue/queue.ts";

export async function enqueueAll(
  queue: Pick<Queue, "send">,
  jobs: readonly Job[],
  group: string | null,
): Promise<void> {
  for (const job of jobs)
    await queue.send(JSON.stringify(job), { ...(group !== null && { group }), deduplicationId: job.id });
}
