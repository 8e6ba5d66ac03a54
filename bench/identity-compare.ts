// Asks all of a suite at once and one by one, of a fresh engine each: what one keeps shall not help the other.
import { Agent, request } from "undici";
import type { EngineFlags } from "../worker/engine/supervisor/process.ts";
import { KamadoError } from "../worker/errors.ts";
import { startOurEngine } from "./engine-process.ts";
import { type Compared, type Difference, differenceOf, type Said } from "./identity-report.ts";
import type { Body, Suite } from "./identity-suites.ts";
import type { Session } from "./session.ts";

/** As many as the API gives. */
const TOP = 20;

export async function compare(
  { name, flags, bodies }: Suite,
  how: { threads: number; slots: number },
  session: Session,
): Promise<Compared> {
  // All wait in its line at once.
  const common = { ...flags, ...how, maxQueue: bodies.length };
  const together = await withEngine(common, session, (ask) =>
    Promise.all(bodies.map(async (body) => textIn(await ask(body)))),
  );
  return withEngine({ ...common, slots: 1 }, session, async (ask) => {
    const differences: Difference[] = [];
    for (const [at, body] of bodies.entries()) {
      const alone = textIn(await ask(body));
      if (alone !== together[at]) differences.push(await explain(ask, body, at, alone, together[at]!));
    }
    return { name, requests: bodies.length, same: bodies.length - differences.length, differences };
  });
}

type Answer = {
  choices: [{ message: { content: string }; logprobs?: { content: Said[] } | null }];
};
type Ask = (body: Body) => Promise<Answer>;
const textIn = ({ choices }: Answer) => choices[0].message.content;

/** Asked once more alone, with what the model nearly said. llama-node does not tell, so its differences stay unexplained. */
async function explain(ask: Ask, body: Body, at: number, alone: string, batch: string): Promise<Difference> {
  const answer = await ask({ ...body, logprobs: true, top_logprobs: TOP }).catch(() => undefined);
  return differenceOf(at, answer?.choices[0].logprobs?.content ?? [], alone, batch);
}

async function withEngine<T>(
  flags: EngineFlags,
  session: Session,
  use: (ask: Ask) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const engine = await startOurEngine(flags, session);
  stack.defer(() => engine.stop());
  // The last of many waits long for its first byte.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  stack.defer(() => dispatcher.close());
  return await session.during(
    use(async (body) => {
      const response = await request(`${engine.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        dispatcher,
        signal: session.signal,
      });
      if (response.statusCode === 200) return (await response.body.json()) as Answer;
      const words = `Our engine answers ${response.statusCode}: ${await response.body.text()}`;
      throw new KamadoError("engine_unavailable", words);
    }),
  );
}
