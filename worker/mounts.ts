// Which part of the worker answers below which path of its address. Who is let in is decided in console/server.ts.
import type { Mount } from "./console/server.ts";
import type { OpenWorker } from "./main.ts";
import { createMcp } from "./mcp/mcp.ts";
import { createResults } from "./storage/results.ts";

export function createMounts({ services, jobEvents }: OpenWorker): Mount[] {
  const { registry, send, clock, bucket } = services;
  const results = createResults(bucket);
  const mayChange: Parameters<typeof createMcp>[0]["mayChange"] = (context) =>
    context.get("visitor").mayChange;
  return [
    // Its requests are all POSTs; each tool says whether it changes anything.
    {
      path: "/mcp",
      app: createMcp({ registry, send, results, jobEvents, clock, mayChange }),
      checksRights: true,
    },
  ];
}
