// The console's styles, scripts and pictures. Their names hold a hash of what is in them, so a browser keeps them for a year and still
// never uses an old one.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { Hono } from "hono";

const TYPES = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
} as const;

const FILES = [
  new URL("./assets/console.css", import.meta.url),
  new URL("./assets/console.js", import.meta.url),
  new URL("./assets/chat.js", import.meta.url),
  new URL("./assets/icon.svg", import.meta.url),
];

const PLACE = "/console/assets";

function load(file: URL) {
  const name = file.pathname.split("/").at(-1)!;
  const [stem = "", ending = ""] = name.split(".");
  const bytes = readFileSync(file);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const path = `${PLACE}/${stem}.${hash}.${ending}`;
  return {
    name,
    path,
    bytes,
    gzipped: gzipSync(bytes, { level: 9 }),
    type: TYPES[ending as keyof typeof TYPES],
  };
}

const ASSETS = FILES.map(load);

/** Where a file of `assets/` is served. */
export function asset(name: "console.css" | "console.js" | "chat.js" | "icon.svg"): string {
  return ASSETS.find((one) => one.name === name)!.path;
}

const KEPT = { "cache-control": "public, max-age=31536000, immutable", vary: "accept-encoding" };

export function createAssets(): Hono {
  const app = new Hono();
  for (const { path, bytes, gzipped, type } of ASSETS)
    app.get(path, (context) => {
      const isSmall = /\bgzip\b/.test(context.req.header("accept-encoding") ?? "");
      const headers = { ...KEPT, "content-type": type, ...(isSmall && { "content-encoding": "gzip" }) };
      return context.body(new Uint8Array(isSmall ? gzipped : bytes), 200, headers);
    });
  return app;
}
