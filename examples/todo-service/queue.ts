// Where sentences go: to the queue that KAMADO_QUEUE_URL names, else to that of the Kamado that runs on this machine.
import type { ClientOptions } from "kamado/client";
import { queuesHere } from "../../worker/cli/cloud.ts";
import { loadConfig } from "../../worker/config/config.ts";

/** Throws `queue_unavailable`, which says what to do, when there is none. */
export async function findQueue(config = loadConfig()): Promise<ClientOptions> {
  const here = await queuesHere(config);
  const { queueUrl, aws } = here.cloud;
  return { queueUrl, bucket: here.config.bucket, ...aws };
}
