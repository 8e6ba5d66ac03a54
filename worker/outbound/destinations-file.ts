// What may stand in the destinations file. Reading it and its secret files is destinations.ts.
import { z } from "zod";

// The Standard Webhooks form: 24 to 64 random bytes in base64.
export const SigningSecret = z.string().refine((text) => {
  const bytes = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1];
  const length = bytes === undefined ? 0 : Buffer.from(bytes, "base64").length;
  return length >= 24 && length <= 64;
}, "expected whsec_ and 24 to 64 bytes in base64");

const InFile = z.strictObject({ file: z.string().min(1).describe("A path, from the folder of this file.") });

const Match = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.search === "" &&
    url.hash === ""
  );
}, "expected https://host/path without credentials and query");

// These belong to the connection; a value from a file would break it or lead it elsewhere.
const OWNED =
  /^(host|connection|content-length|transfer-encoding|keep-alive|upgrade|expect|te|trailer|accept-encoding)$/i;
const HeaderName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "expected a header's name")
  .refine((name) => !OWNED.test(name), "this header belongs to the connection");
const HeaderValue = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, "expected one line");

const Entry = z
  .strictObject({
    match: Match.describe("An address; everything at or below it belongs to this entry."),
    secret: SigningSecret.optional().describe("Callbacks are signed with it."),
    secretFile: z.string().min(1).optional().describe("The same, in a file of its own."),
    previousSecrets: z
      .array(z.union([SigningSecret, InFile]))
      .max(5)
      .default([])
      .describe("Signed with too, while a secret rotates."),
    headers: z
      .record(HeaderName, z.union([HeaderValue, InFile]))
      .default({})
      .describe("Sent with every request."),
    allowPrivate: z.boolean().default(false).describe("It may stand in the home network."),
    maxPerSecond: z.number().positive().max(10_000).optional().describe("Deliveries; unlimited by default."),
    maxConcurrent: z.int().min(1).max(1_000).optional().describe("Deliveries at a time; 8 by default."),
  })
  .refine(({ secret, secretFile }) => secret === undefined || secretFile === undefined, {
    message: "give either secret or secretFile",
    path: ["secretFile"],
  });
export type FileEntry = z.output<typeof Entry>;

export const DestinationsFile = z
  .array(Entry)
  .refine(
    (entries) =>
      new Set(entries.map(({ match }) => (URL.canParse(match) ? new URL(match).href : match))).size ===
      entries.length,
    "two entries have the same match",
  );
