// One llama-server that serves, as this side knows it: where it is and what it says about itself when it first answers.
import { type AddressInfo, createServer } from "node:net";
import { NO_PARSER } from "./request.ts";
import type { Wire } from "./wire.ts";

export type Server = {
  wire: Wire;
  /** What stands for a picture in its prompts. */
  marker: string;
  template: string;
  /** of one slot */
  contextSize: number;
  /** Goes with every completion. */
  always: object;
  /** Fires when it has ended. */
  down: AbortSignal;
};
/** One token, at most: of any model. */
const UNDERSTOOD_MS = 60_000;

/** Undefined while it does not serve yet: while it loads it answers 503, before that not at all. */
export async function greet(wire: Wire, down: AbortSignal): Promise<Server | undefined> {
  const props = await wire.get("/props", down).catch(() => undefined);
  if (props === undefined) return undefined;
  return { wire, down, always: await understood(wire, NO_PARSER, down), ...factsOf(props) };
}

/** The fields, if a completion with them is not refused. */
async function understood(wire: Wire, fields: object, down: AbortSignal): Promise<object> {
  const body = { prompt: "a", n_predict: 0, cache_prompt: false, ...fields };
  const signal = AbortSignal.any([down, AbortSignal.timeout(UNDERSTOOD_MS)]);
  return wire.post("/completion", body, signal).then(
    () => fields,
    () => ({}),
  );
}

function factsOf(props: string): Pick<Server, "marker" | "template" | "contextSize"> {
  const { media_marker, chat_template, default_generation_settings } = JSON.parse(props);
  return {
    marker: media_marker ?? "<__media__>",
    template: chat_template ?? "",
    contextSize: default_generation_settings.n_ctx,
  };
}

export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
  return promise;
}
