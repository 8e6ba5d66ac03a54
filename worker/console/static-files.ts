// Files that pages load: styles, scripts, pictures. Each has an address that holds a hash of its content, so that a browser may keep it for
// ever and never has an old one. What they hold is no secret: they are served to whoever asks, the page to sign in needs them too.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { gzipSync } from "node:zlib";
import { Hono } from "hono";

export type StaticFiles = {
  /** Where a page finds the file of this name. Throws for a name that is not in the list. */
  href(name: string): string;
  /** Serves them. */
  app: Hono;
};

const TYPES: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webp": "image/webp",
  ".webmanifest": "application/manifest+json",
};

const ASSETS = "/assets";
const FOREVER = "public, max-age=31536000, immutable";
/** Smaller ones only grow. Bytes. */
const WORTH_PACKING = 512;

type Asset = { type: string; bytes: Uint8Array<ArrayBuffer>; packed?: Uint8Array<ArrayBuffer> };

/** `files`: name -> path. They are read when the first page is made, so that they cost nothing before. `folder`: below which path. */
export function createStaticFiles(files: Readonly<Record<string, string>>, folder = ASSETS): StaticFiles {
  const hrefs = new Map<string, string>();
  const byHref = new Map<string, Asset>();

  function href(name: string): string {
    const known = hrefs.get(name);
    if (known !== undefined) return known;
    const asset = read(name, files[name]);
    const extension = extname(name);
    const hash = createHash("sha256").update(asset.bytes).digest("hex").slice(0, 12);
    const made = `${folder}/${name.slice(0, -extension.length)}.${hash}${extension}`;
    hrefs.set(name, made);
    byHref.set(made, asset);
    return made;
  }

  const app = new Hono();
  app.get(`${folder}/:name`, (context) => {
    for (const name of Object.keys(files)) href(name);
    const asset = byHref.get(context.req.path);
    if (!asset) return context.notFound();
    const { type, bytes, packed } = asset;
    const headers = { "content-type": type, "cache-control": FOREVER, vary: "accept-encoding" };
    if (!packed || !/\bgzip\b/.test(context.req.header("accept-encoding") ?? ""))
      return context.body(bytes, 200, headers);
    return context.body(packed, 200, { ...headers, "content-encoding": "gzip" });
  });
  return { href, app };
}

function read(name: string, path: string | undefined): Asset {
  const type = TYPES[extname(name)];
  if (path === undefined || type === undefined) throw new Error(`${name} is no asset of this server`);
  const bytes = new Uint8Array(readFileSync(path));
  const isText = /^(text|application)\/|svg/.test(type);
  return {
    type,
    bytes,
    ...(isText && bytes.length > WORTH_PACKING && { packed: new Uint8Array(gzipSync(bytes)) }),
  };
}
