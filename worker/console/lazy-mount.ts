// A part of the address whose code is loaded with the first request for it: a worker may run for weeks without anybody looking at it.
import { type Context, Hono } from "hono";
import type { Mount } from "./server.ts";

type Mounted = Hono<{ Bindings: { visitor: unknown; isMissed: boolean } }>;

/** What `loadApp` gives answers as if it were mounted itself; what it has no route for goes on to the mounts after it. */
export function lazyMount(
  path: string,
  loadApp: () => Promise<Hono>,
  rights: Pick<Mount, "checksRights" | "streamsBodies"> = {},
): Mount {
  let opened: Promise<Mounted> | undefined;
  const load = () => {
    opened ??= loadApp().then((app) => asMounted(path, app));
    // The next request tries again.
    opened.catch(() => {
      opened = undefined;
    });
    return opened;
  };
  const app = new Hono();
  app.all("*", async (context, next) => {
    const inner = await load();
    const env = { ...(context.env as object), visitor: visitorOf(context), isMissed: false };
    const response = await inner.fetch(context.req.raw, env);
    return env.isMissed ? next() : response;
  });
  return { path, app, load, ...rights };
}

const visitorOf = (context: Context): unknown => context.get("visitor");

function asMounted(path: string, app: Hono): Mounted {
  const inner: Mounted = new Hono();
  inner.use(async (context, next) => {
    context.set("visitor", context.env.visitor as never);
    await next();
  });
  inner.route(path, app);
  // Whoever mounts it answers what the app itself does not.
  inner.onError((thrown) => {
    throw thrown;
  });
  inner.notFound((context) => {
    context.env.isMissed = true;
    return context.body(null, 404);
  });
  return inner;
}
