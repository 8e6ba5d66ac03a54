// The kinds as tools for models, over the Model Context Protocol (docs/mcp.md). Who is let in is decided before; who may only read can list and
// ask, and start nothing.
import { Hono } from "hono";
import type { Registry } from "../job/registry.ts";
import { type CallDeps, Calls } from "./calls.ts";
import type { Protocol } from "./protocol.ts";

/** How often it is looked whether handlers have changed, while a client wants to hear of it. */
const LOOK_MS = 2_000;

export type McpDeps = CallDeps & {
  /** [2 s] */
  lookMs?: number;
};

export function createMcp({ lookMs = LOOK_MS, ...deps }: McpDeps): Hono {
  const calls = new Calls(deps);
  let protocol: Promise<Protocol> | undefined;
  let watch: NodeJS.Timeout | undefined;

  const open = async () => {
    const { createProtocol } = await import("./protocol.ts");
    return createProtocol(calls);
  };

  /** Handlers are exchanged in place, so that only looking tells. */
  function watchKinds({ kindsChanged, streams }: Protocol): void {
    if (watch) return;
    let before = handlersOf(deps.registry);
    watch = setInterval(() => {
      const now = handlersOf(deps.registry);
      const isSame = now.length === before.length && now.every((one, at) => one === before[at]);
      before = now;
      if (!isSame) kindsChanged();
      if (streams() > 0) return;
      clearInterval(watch);
      watch = undefined;
    }, lookMs).unref();
  }

  const app = new Hono();
  app.all("/", async (context) => {
    protocol ??= open();
    const opened = await protocol;
    const response = await opened.answer(context.req.raw, context.get("visitor"));
    if (opened.streams() > 0) watchKinds(opened);
    return response;
  });
  return app;
}

const handlersOf = (registry: Registry) => [...registry.values()];
