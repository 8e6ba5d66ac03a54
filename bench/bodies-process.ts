// The attacker `bodies` of `bench neighbours`, as a process of its own: sends huge requests to the engine whose URL is its argument,
// and opens streams that it never reads. Ends when the bench does.
import { Agent, request } from "undici";

const BODY_BYTES = 47 * 1024 * 1024;
const BODIES = 16;
const STREAMS = 40;

async function attack(engineUrl: string): Promise<void> {
  const dispatcher = new Agent({ connections: BODIES + STREAMS, headersTimeout: 0, bodyTimeout: 0 });
  const headers = { "content-type": "application/json" };
  const post = (body: Buffer | string) =>
    request(`${engineUrl}/v1/chat/completions`, { method: "POST", headers, body, dispatcher });
  const [head, tail] = ['{"messages":[{"role":"user","content":"', '"}]}'];
  const mark = "<|e|>";
  const huge = Buffer.from(head + mark.repeat((BODY_BYTES - 64) / mark.length) + tail);
  // At the lowest priority: who asks the engine without one is a person, and goes before all jobs by design.
  const messages = [{ role: "user", content: "Go on." }];
  const endless = JSON.stringify({ messages, stream: true, priority: 0 });
  const streams = Array.from({ length: STREAMS }, () => post(endless));
  const large = Array.from({ length: BODIES }, async () => (await post(huge)).body.dump());
  await Promise.allSettled([...streams, ...large]);
}

process.once("disconnect", () => process.exit(0));
await attack(process.argv[2]!);
