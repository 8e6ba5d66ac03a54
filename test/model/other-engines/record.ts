// Records a live server anew: `npx node test/model/other-engines/record.ts NAME URL "SERVER AND VERSION" [MODEL]` asks it what every server is
// asked and writes NAME.json beside this file.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Recording, recorder } from "./exchanges.ts";
import { askAll } from "./questions.ts";

const [name, url, server, model] = process.argv.slice(2) as [string, string, string, string?];
await using proxy = await recorder(url);
const { receipt, ...shown } = await askAll(proxy.url, proxy.seen, model);
console.log(JSON.stringify({ text: shown.text, wasted: shown.wasted }, null, 2));
console.log(proxy.seen.map(({ asks, status }) => `${status} ${asks}`).join("\n"));

// Paths of the machine that recorded, and what differs from time to time, do not belong into a recording.
const CHANGES = ["created", "created_at", "timings", "system_fingerprint"];
const portable = (value: unknown) => {
  const text = JSON.stringify(value, (key, inner) => (CHANGES.includes(key) ? undefined : inner));
  return JSON.parse(text.replaceAll(/\/[\w./-]*\/(?=[\w.-]+)/g, "/models/"));
};
const recording: Recording = portable({
  server,
  from: "recorded",
  answers: receipt.model,
  ...(model !== undefined && { asks: model }),
  ...proxy.recorded,
});
writeFileSync(join(import.meta.dirname, `${name}.json`), `${JSON.stringify(recording, null, 2)}\n`);
