// The process that owns llama.node for the evaluation: one question after another over IPC.
import { loadModel } from "@fugood/llama.node";
import { type ChildReply, type ChildRequest, MAX_TOKENS } from "./answer.ts";

const CLOSING_MS = 30_000;

const [model = "", projector = ""] = process.argv.slice(2);
const context = await loadModel({ model, n_ctx: 4_096, n_threads: 1, n_gpu_layers: 0 });
if (!context.initMultimodal({ path: projector, use_gpu: false })) throw new Error(`cannot load ${projector}`);

/** Calls back to back can find the one before still closing. */
const complete: typeof context.completion = async (request) => {
  const givenUp = performance.now() + CLOSING_MS;
  for (;;)
    try {
      return await context.completion(request);
    } catch (thrown) {
      if (!/in progress/.test(String(thrown)) || performance.now() > givenUp) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
};

async function answer({ messages, wish: { schema, options } }: ChildRequest): Promise<string> {
  const format = schema && { response_format: { type: "json_schema" as const, json_schema: { schema } } };
  // Both are needed for the likeliest token at every step.
  const greedy = { temperature: 0, top_k: 1, penalty_repeat: 1 };
  const n_predict = options ? 1 : MAX_TOKENS;
  const { text } = await complete({ messages, jinja: true, ...greedy, n_predict, ...format });
  return text;
}

process.on("message", async (request: ChildRequest) => {
  const reply: ChildReply = await answer(request).then(
    (answered) => ({ answer: answered }),
    (thrown) => ({ error: String(thrown) }),
  );
  process.send!(reply);
});
process.on("disconnect", () => process.exit(0));
